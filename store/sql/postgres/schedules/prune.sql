-- Reports are written in the order of time, so the oldest have the lowest seq: no index on time is needed.
-- $1 holder, $2 epoch, $3 keep, $4 limit, $5 forget executors after
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
old AS (
    DELETE FROM leasehold.report
    WHERE seq = ANY(ARRAY(SELECT seq FROM leasehold.report WHERE EXISTS (SELECT 1 FROM fence) ORDER BY seq LIMIT $4))
      AND greatest(finished_at, due) < leasehold.now_us() - $3
    RETURNING 1
),
gone AS (
    DELETE FROM leasehold.executor WHERE EXISTS (SELECT 1 FROM fence) AND seen_at < leasehold.now_us() - $5
)
SELECT EXISTS (SELECT 1 FROM fence), (SELECT count(*) FROM old)
