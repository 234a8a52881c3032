-- Ends items that a claim could not start. The reason is looked at again here, on a fresh snapshot: by now an item may
-- well be runnable, and then it stays. (Only that a later due time has come cannot change: the claim says so.) The
-- codes are those of the outcomes:
--   2 no attempt is left (invariant I11)
--   5 its schedule has changed since, or its job is gone (invariant I13)
--   4 a later due time of the same job has come: the latest runs (an interval job has no later one)
--   3 its job is running (invariant I8)
--  -1 a retry whose run is gone or running already: nothing is left to say
-- Locks: ready, running, job, and the order of reports last.
-- $1 keys, $2 ids, $3 ids of those with a later due time, $4 errors by code + 1
WITH i AS MATERIALIZED (
    SELECT ctid AS tid, * FROM leasehold.ready WHERE job_key = ANY($1) AND id = ANY($2) FOR UPDATE SKIP LOCKED
),
d AS MATERIALIZED (
    SELECT i.*,
        CASE
          WHEN i.attempt > 0 AND
              (SELECT true FROM leasehold.running AS x WHERE x.id = i.id AND x.claim_id IS NULL LIMIT 1) IS NULL
              THEN -1
          WHEN NOT j.active THEN 5
          WHEN i.attempt - i.released >= i.max_attempts THEN 2
          WHEN i.attempt > 0 THEN NULL
          WHEN i.cause = 0 AND i.version < j.since THEN 5
          WHEN i.id = ANY($3) THEN 4
          WHEN i.overlap <> 1
              AND (SELECT true FROM leasehold.running AS x WHERE x.job_key = i.job_key AND x.overlap <> 1 LIMIT 1)
              THEN 3
        END AS outcome
    FROM i
    JOIN (SELECT key, active, since FROM leasehold.job WHERE key = ANY($1)) AS j ON j.key = i.job_key
),
taken AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT tid FROM d WHERE outcome IS NOT NULL)) RETURNING 1
),
ended AS (
    DELETE FROM leasehold.running
    WHERE id = ANY(ARRAY(SELECT id FROM d WHERE outcome IN (2, 5) AND attempt > 0)) AND claim_id IS NULL
    RETURNING job_key, every_us
),
rearmed AS ( -- found by key alone: what the row says is looked at once it is locked, not in an older snapshot
    UPDATE leasehold.job SET next_due = CASE
        WHEN active AND every_us IS NOT NULL AND next_due IS NULL THEN leasehold.clock_us() + every_us
        ELSE next_due END
    WHERE key = ANY(ARRAY(SELECT job_key FROM d WHERE outcome IN (2, 3) AND every_us IS NOT NULL
                          UNION ALL SELECT job_key FROM ended WHERE every_us IS NOT NULL))
    RETURNING 1
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM taken) > 0 AND (SELECT count(*) FROM ended) + (SELECT count(*) FROM rearmed) >= 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at, error)
    SELECT d.id, d.job_key, d.tenant_id, d.cause, d.due, d.attempt, d.outcome, leasehold.clock_us(),
           ($4::text[])[d.outcome + 1]
    FROM ordered, d WHERE d.outcome >= 0
    ORDER BY d.due
    RETURNING 1
)
SELECT (SELECT count(*) FROM taken)
