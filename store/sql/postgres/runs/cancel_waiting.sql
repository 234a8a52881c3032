-- A run that waits, in line or for its retry, ends. Waits for a claim or an activation that has the row: if that
-- commits, the row has moved on and nothing comes back.
-- Locks: ready and ahead, running, job, and the order of reports last.
-- $1 job key, $2 id, $3 error
WITH r AS (
    DELETE FROM leasehold.ready WHERE job_key = $1 AND id = $2
    RETURNING id, job_key, tenant_id, cause, due, attempt, every_us
),
a AS (
    DELETE FROM leasehold.ahead WHERE job_key = $1 AND id = $2
    RETURNING id, job_key, tenant_id, cause, due, attempt, every_us
),
w AS MATERIALIZED (SELECT * FROM r UNION ALL SELECT * FROM a),
ended AS (
    DELETE FROM leasehold.running WHERE id = ANY(ARRAY(SELECT id FROM w WHERE attempt > 0)) AND claim_id IS NULL
    RETURNING job_key, every_us
),
rearmed AS ( -- found by key alone: what the row says is looked at once it is locked, not in an older snapshot
    UPDATE leasehold.job SET next_due = leasehold.due_again(active, every_us, next_due, paused_until)
    WHERE key = ANY(ARRAY(SELECT job_key FROM w WHERE every_us IS NOT NULL
                          UNION ALL SELECT job_key FROM ended WHERE every_us IS NOT NULL))
    RETURNING 1
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM w) > 0 AND (SELECT count(*) FROM ended) + (SELECT count(*) FROM rearmed) >= 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at, error)
    SELECT w.id, w.job_key, w.tenant_id, w.cause, w.due, w.attempt, 5, leasehold.clock_us(), $3 FROM ordered, w
)
SELECT count(*) FROM w
