-- Runs of their own for due times of the past, one after the other. An id that was made before and is still known is
-- left out.
-- $1 job key, $2 ids, $3 due times, $4 time between two of them; 2 = backfill
WITH j AS MATERIALIZED (
    SELECT key, tenant_id, queue, prio, overlap, max_attempts, version FROM leasehold.job WHERE key = $1 AND active
),
fresh AS MATERIALIZED (
    SELECT b.id, b.due, leasehold.now_us() + (row_number() OVER (ORDER BY b.due) - 1) * $4::bigint AS not_before
    FROM unnest($2::uuid[], $3::bigint[]) AS b(id, due)
    WHERE (SELECT true FROM leasehold.ahead AS q WHERE q.job_key = $1 AND q.id = b.id LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.ready AS q WHERE q.job_key = $1 AND q.id = b.id LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.running AS q WHERE q.id = b.id LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.report AS q WHERE q.job_key = $1 AND q.id = b.id LIMIT 1) IS NULL
),
queued AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up)
    SELECT j.key, f.id, j.tenant_id, j.queue, j.prio, f.not_before, 2, f.due, f.not_before,
           CASE WHEN j.overlap = 1 THEN 1 ELSE 3 END, 0, 0, j.max_attempts, j.version, NULL, 2
    FROM j, fresh AS f
    ON CONFLICT DO NOTHING
    RETURNING 1
)
SELECT (SELECT count(*) FROM j), (SELECT count(*) FROM queued)
