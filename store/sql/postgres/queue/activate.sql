-- What is due moves from ahead to ready. SKIP LOCKED: several executors may do this at once, and share the work.
-- `not_before` bounds the scan, so a million items that are not due are never touched.
--
-- What an outage left behind goes once a second: whoever moves the row in `recovery` on (the others skip it) lets that
-- second's share go, by priority and then age, no tenant more than its own share, from among the oldest and the latest
-- 20,000 (so that the backlog of one tenant does not hide what others have missed since). It lines up behind what is
-- there already, so that work on time keeps its place.
-- $1 limit
WITH due AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.ahead
        WHERE not_before <= leasehold.now_us() AND not_before > leasehold.now_us() - 60000000
        ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING *
),
turn AS (
    UPDATE leasehold.recovery SET second = leasehold.now_us() / 1000000
    WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.recovery
        WHERE second <> leasehold.now_us() / 1000000
          AND (SELECT true FROM leasehold.ahead WHERE not_before <= leasehold.now_us() - 60000000 LIMIT 1)
        FOR UPDATE SKIP LOCKED))
    RETURNING 1
),
budget AS MATERIALIZED (
    SELECT recovery_total AS total, recovery_tenant AS tenant FROM leasehold.catalog
    WHERE one = 1 AND (SELECT count(*) FROM turn) > 0
),
late AS MATERIALIZED (
    SELECT o.tid, o.prio, o.not_before,
           row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.prio, o.not_before) AS place
    FROM ((SELECT ctid AS tid, tenant_id, prio, not_before FROM leasehold.ahead
           WHERE not_before <= leasehold.now_us() - 60000000 AND (SELECT count(*) FROM budget) > 0
           ORDER BY not_before LIMIT 20000)
          UNION
          (SELECT ctid, tenant_id, prio, not_before FROM leasehold.ahead
           WHERE not_before <= leasehold.now_us() - 60000000 AND (SELECT count(*) FROM budget) > 0
           ORDER BY not_before DESC LIMIT 20000)) AS o
),
recovered AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT a.ctid FROM leasehold.ahead AS a
        WHERE a.ctid = ANY(ARRAY(
            SELECT tid FROM late WHERE place <= (SELECT tenant FROM budget)
            ORDER BY prio, not_before LIMIT (SELECT total FROM budget)))
        FOR UPDATE SKIP LOCKED))
    RETURNING *
),
moved AS (
    INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up, misfire_at, expires_at)
    SELECT job_key, id, tenant_id, queue, prio, x.place, cause, due, not_before, overlap, attempt, released,
           max_attempts, version, every_us, catch_up, misfire_at, expires_at
    FROM (SELECT *, tag AS place FROM due
          UNION ALL
          SELECT *, leasehold.now_us() + row_number() OVER (ORDER BY not_before, id) FROM recovered) AS x
    ON CONFLICT DO NOTHING -- a backfill that was asked for twice at once
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM due),
       (SELECT not_before FROM leasehold.ahead
        WHERE not_before > leasehold.now_us() AND not_before < 9223372036854775807 ORDER BY not_before LIMIT 1)
           - leasehold.now_us(),
       (SELECT true FROM leasehold.ahead WHERE not_before <= leasehold.now_us() - 60000000 LIMIT 1)
