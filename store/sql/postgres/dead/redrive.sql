-- Runs of their own in the place of dead ones, which stay dead (invariant I7). The report of each is locked, so that of two
-- redrives one makes the run; an id that is taken is left to the next step, which draws another. What an application had
-- handed over with the dead run goes with the new one.
-- Locks: reports, which nobody else locks but a prune that passes by; then new rows only.
-- $1 places of the dead runs' reports, $2 new ids; 4 = redrive
WITH u AS (SELECT * FROM unnest($1::bigint[], $2::uuid[]) AS u(seq, id)),
dead AS MATERIALIZED (
    SELECT p.seq, p.job_key, p.id, p.due, u.id AS new_id
    FROM leasehold.report AS p JOIN u ON u.seq = p.seq
    WHERE p.seq = ANY($1) AND p.outcome = 2 AND p.redriven IS NULL
    ORDER BY p.seq FOR UPDATE OF p
),
fresh AS MATERIALIZED (
    SELECT d.* FROM dead AS d
    WHERE (SELECT true FROM leasehold.ready AS q WHERE q.job_key = d.job_key AND q.id = d.new_id LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.running AS q WHERE q.id = d.new_id LIMIT 1) IS NULL
      AND (SELECT true FROM leasehold.report AS q WHERE q.job_key = d.job_key AND q.id = d.new_id LIMIT 1) IS NULL
),
queued AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up)
    SELECT j.key, f.new_id, j.tenant_id, j.queue, j.prio, leasehold.now_us(), 4, f.due, leasehold.now_us(),
           CASE WHEN j.overlap = 1 THEN 1 ELSE 3 END, 0, 0, j.max_attempts, j.version, NULL, 2
    FROM fresh AS f
    JOIN (SELECT key, tenant_id, queue, prio, overlap, max_attempts, version FROM leasehold.job
          WHERE key = ANY(ARRAY(SELECT job_key FROM fresh)) AND active) AS j ON j.key = f.job_key
    ON CONFLICT DO NOTHING
    RETURNING id
),
carried AS (
    INSERT INTO leasehold.enqueued (job_key, id, tenant_id, payload, at)
    SELECT e.job_key, f.new_id, e.tenant_id, e.payload, leasehold.now_us()
    FROM fresh AS f JOIN queued AS q ON q.id = f.new_id
    JOIN leasehold.enqueued AS e ON e.job_key = f.job_key AND e.id = f.id
    RETURNING 1
),
marked AS (
    UPDATE leasehold.report AS p SET redriven = f.new_id
    FROM fresh AS f JOIN queued AS q ON q.id = f.new_id
    WHERE p.seq = ANY($1) AND p.seq = f.seq
    RETURNING 1
)
SELECT (SELECT count(*) FROM marked) FROM (SELECT count(*) FROM carried) AS x
