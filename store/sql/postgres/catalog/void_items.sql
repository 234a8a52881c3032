-- Takes out of the queue what the change has made void (invariant I13): scheduled items from before `since`, and
-- every item of a job that is gone. What was due is reported; the rest never had a due time. Rows that a claim or an
-- activation has locked are skipped, since this transaction holds locks that they may wait for: a claim re-checks
-- `since` anyway. The job rows are ours already; the order of reports is taken last.
-- $1 keys of rescheduled and removed jobs, $2 errors of removed and of rescheduled ones, $3 now
WITH j AS MATERIALIZED (SELECT key, active, since FROM leasehold.job WHERE key = ANY($1)),
r AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(
        SELECT q.ctid FROM leasehold.ready AS q JOIN j ON j.key = q.job_key
        WHERE q.job_key = ANY($1) AND (NOT j.active OR (q.cause = 0 AND q.attempt = 0 AND q.version < j.since))
        FOR UPDATE OF q SKIP LOCKED))
    RETURNING id, job_key, tenant_id, cause, due, attempt, not_before
),
a AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT q.ctid FROM leasehold.ahead AS q JOIN j ON j.key = q.job_key
        WHERE q.job_key = ANY($1) AND (NOT j.active OR (q.cause = 0 AND q.attempt = 0 AND q.version < j.since))
        FOR UPDATE OF q SKIP LOCKED))
    RETURNING id, job_key, tenant_id, cause, due, attempt, not_before
),
v AS MATERIALIZED (SELECT * FROM r UNION ALL SELECT * FROM a),
ended AS (
    DELETE FROM leasehold.running WHERE id = ANY(ARRAY(SELECT id FROM v WHERE attempt > 0)) AND claim_id IS NULL
    RETURNING 1
),
due AS MATERIALIZED (SELECT * FROM v WHERE due <= $3 OR attempt > 0 OR cause <> 0),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM due) > 0 AND (SELECT count(*) FROM ended) >= 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at, error)
    SELECT due.id, due.job_key, due.tenant_id, due.cause, due.due, due.attempt, CASE WHEN j.active THEN 9 ELSE 5 END,
           $3, ($2::text[])[CASE WHEN j.active THEN 2 ELSE 1 END]
    FROM ordered, due JOIN j ON j.key = due.job_key
)
SELECT count(*) FROM v
