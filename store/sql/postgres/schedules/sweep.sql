-- Waiting items that nobody ran in time end here, so that they neither wait for a claim nor cost the recovery budget:
--   4 their limit has passed, or (catch-up `last`) they are late and a later due time of the job has come
--   8 running them is pointless by now
-- Those of one job that end alike are one report. Locks: lease, ahead (skipping what others have), job, and the order
-- of reports last.
-- $1 holder, $2 epoch, $3 limit, $4 errors of misfired and expired
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
seen AS MATERIALIZED (
    SELECT ctid AS tid, job_key, id, due, catch_up, misfire_at, expires_at, every_us
    FROM leasehold.ahead
    WHERE not_before <= leasehold.now_us() - 60000000 AND (SELECT count(*) FROM fence) > 0
      AND attempt = 0 AND cause = 0
      AND (catch_up = 0 OR misfire_at <= leasehold.now_us() OR expires_at <= leasehold.now_us())
    ORDER BY not_before LIMIT $3
),
judged AS MATERIALIZED (
    SELECT s.tid, s.id, CASE
        WHEN s.misfire_at <= leasehold.now_us() THEN 4
        WHEN s.expires_at <= leasehold.now_us() THEN 8
        WHEN s.catch_up = 0 AND s.every_us IS NULL AND coalesce(
            (SELECT true FROM leasehold.ahead AS l WHERE l.job_key = s.job_key AND l.id > s.id AND l.due > s.due
                AND l.cause = 0 AND l.attempt = 0 AND l.not_before + 0 <= leasehold.now_us() LIMIT 1),
            (SELECT true FROM leasehold.ready AS l WHERE l.job_key = s.job_key AND l.id > s.id AND l.due > s.due
                AND l.cause = 0 AND l.attempt = 0 LIMIT 1)) THEN 4
        END AS outcome
    FROM seen AS s
),
gone AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT a.ctid FROM leasehold.ahead AS a
        WHERE a.ctid = ANY(ARRAY(SELECT tid FROM judged WHERE outcome IS NOT NULL))
        FOR UPDATE SKIP LOCKED))
    RETURNING id, job_key, tenant_id, due, every_us
),
rearmed AS ( -- found by key alone: what the row says is looked at once it is locked, not in an older snapshot
    UPDATE leasehold.job SET next_due = leasehold.due_again(active, every_us, next_due, paused_until)
    WHERE key = ANY(ARRAY(SELECT job_key FROM gone WHERE every_us IS NOT NULL))
    RETURNING 1
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM gone) > 0 AND (SELECT count(*) FROM rearmed) >= 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, due_from, count, attempt, outcome, finished_at,
                                  error)
    SELECT x.id, x.job_key, x.tenant_id, 0, x.last, CASE WHEN x.count > 1 THEN x.first END, x.count, 0, x.outcome,
           leasehold.clock_us(), ($4::text[])[CASE x.outcome WHEN 4 THEN 1 ELSE 2 END]
    FROM ordered, (
        SELECT g.job_key, g.tenant_id, d.outcome, min(g.due) AS first, max(g.due) AS last, count(*) AS count,
               (array_agg(g.id ORDER BY g.due DESC))[1] AS id
        FROM gone AS g JOIN judged AS d ON d.id = g.id
        GROUP BY g.job_key, g.tenant_id, d.outcome) AS x
    ORDER BY x.last
    RETURNING outcome, count
)
SELECT EXISTS (SELECT 1 FROM fence),
       (SELECT coalesce(sum(count), 0) FROM reported WHERE outcome = 4)::bigint,
       (SELECT coalesce(sum(count), 0) FROM reported WHERE outcome = 8)::bigint,
       (SELECT count(*) FROM seen)
