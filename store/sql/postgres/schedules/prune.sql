-- What belongs to a run goes with a report of it, unless the run is not over.
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
    RETURNING id
),
callbacks AS (
    DELETE FROM leasehold.callback AS c WHERE c.id = ANY(ARRAY(SELECT id FROM old))
       AND NOT EXISTS (SELECT 1 FROM leasehold.running AS r WHERE r.id = c.id)
),
progress AS (
    DELETE FROM leasehold.progress AS p WHERE p.id = ANY(ARRAY(SELECT id FROM old))
       AND NOT EXISTS (SELECT 1 FROM leasehold.running AS r WHERE r.id = p.id)
),
gone AS (
    DELETE FROM leasehold.executor WHERE EXISTS (SELECT 1 FROM fence) AND seen_at < leasehold.now_us() - $5
)
SELECT EXISTS (SELECT 1 FROM fence), (SELECT count(*) FROM old)
