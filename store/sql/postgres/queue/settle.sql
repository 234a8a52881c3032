-- How attempts ended, many in one statement. The guard is (id, claim, attempt): a zombie's report matches nothing and
-- its id does not come back (invariants I6, I7). Claims are locked first, then the gates that the runs hold, in the
-- order of their ids, and then runs, as in rescue; jobs come after runs, and the order of reports last. Which gates a
-- run holds does not change while it is claimed; what they hold is written as a number that was read under their lock.
--
-- A run that gets another attempt keeps its row in `running`, without a claim, so that nothing overlaps its retry. A
-- run that ends gives the interval token back to its job in this same statement (invariant I9): `every` jobs cannot
-- die silently. A job that has its next due time already, or is gone, or is no interval job any longer, is left alone.
-- $1 ids, $2 claims, $3 attempts, $4 outcomes, $5 waits until the retry (null: none), $6 whether the attempt was given
-- back, $7 durations, $8 how long ago they ended, $9 errors, $10 results; $11 claims that have no run left; $12 codes of
-- the errors, $13 fingerprints of those after which a run is dead
WITH finished AS (
    DELETE FROM leasehold.claim WHERE id = ANY($11::uuid[]) RETURNING 1
),
u AS MATERIALIZED (
    SELECT DISTINCT ON (u.id, u.attempt, u.claim_id) u.*, leasehold.clock_us() AS now -- of repeated reports the first
    FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], $5::bigint[], $6::integer[], $7::bigint[],
                $8::bigint[], $9::text[], $10::text[], $12::text[], $13::bigint[]) WITH ORDINALITY
        AS u(id, claim_id, attempt, outcome, wait, released, duration, ended_ago, error, result, code, fingerprint, place)
    WHERE (SELECT count(*) FROM finished) >= 0
    ORDER BY u.id, u.attempt, u.claim_id, u.place
),
seen AS MATERIALIZED ( -- a run that somebody asked to cancel gets no further attempt
    SELECT id, claim_id, cancel, gates FROM leasehold.running WHERE id = ANY($1) AND (cancel OR gates IS NOT NULL)
),
cancelled AS MATERIALIZED (SELECT id FROM seen WHERE cancel),
held AS MATERIALIZED (
    SELECT s.id, s.claim_id, g.id AS gate FROM seen AS s CROSS JOIN LATERAL unnest(s.gates) AS g(id)
    WHERE s.claim_id = ANY($2)
),
gate AS MATERIALIZED (
    SELECT id, in_use FROM leasehold.gate WHERE id = ANY(ARRAY(SELECT gate FROM held)) ORDER BY id FOR UPDATE
),
over AS (
    DELETE FROM leasehold.running AS r USING u
    WHERE r.id = ANY($1) AND r.id = u.id AND r.claim_id = u.claim_id AND r.attempt = u.attempt
      AND (u.wait IS NULL OR r.id = ANY(ARRAY(SELECT id FROM cancelled)))
      AND (SELECT count(*) FROM gate) >= 0
    RETURNING r.id, r.job_key, r.tenant_id, r.cause, r.due, r.attempt, r.every_us, r.executor, u.claim_id, r.overlap,
              r.catch_up
),
back AS (
    UPDATE leasehold.running AS r SET claim_id = NULL, gates = NULL, released = r.released + u.released
    FROM u
    WHERE r.id = ANY($1) AND r.id = u.id AND r.claim_id = u.claim_id AND r.attempt = u.attempt
      AND u.wait IS NOT NULL AND r.id <> ALL(ARRAY(SELECT id FROM cancelled))
      AND (SELECT count(*) FROM gate) >= 0
    RETURNING r.id, r.job_key, r.tenant_id, r.queue, r.prio, r.cause, r.due, r.overlap, r.attempt, r.released,
              r.max_attempts, r.version, r.every_us, r.executor, u.claim_id, r.catch_up, r.expires_at,
              u.now + u.wait AS retry_at
),
again AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up, expires_at)
    SELECT job_key, id, tenant_id, queue, prio, retry_at, cause, due, retry_at, overlap, attempt, released,
           max_attempts, version, NULL, -- the interval token stays in `running`
           catch_up, expires_at
    FROM back
    RETURNING 1
),
rearmed AS ( -- found by key alone: what the row says is looked at once it is locked, not in an older snapshot
    UPDATE leasehold.job SET next_due = leasehold.due_again(active, every_us, next_due, paused_until)
    WHERE key = ANY(ARRAY(SELECT job_key FROM over WHERE every_us IS NOT NULL))
    RETURNING 1
),
ended AS MATERIALIZED (
    SELECT id, job_key, tenant_id, cause, due, attempt, executor, claim_id, NULL::bigint AS retry_at,
           overlap > 1 OR overlap = 0 AND catch_up = 2 AS waited_for FROM over
    UNION ALL
    SELECT id, job_key, tenant_id, cause, due, attempt, executor, claim_id, retry_at, NULL FROM back
),
freed AS MATERIALIZED (
    SELECT h.gate, count(*)::integer AS n FROM held AS h JOIN ended AS e ON e.id = h.id AND e.claim_id = h.claim_id
    GROUP BY h.gate
),
given AS (
    UPDATE leasehold.gate AS t SET in_use = greatest(g.in_use - f.n, 0)
    FROM freed AS f JOIN gate AS g ON g.id = f.gate
    WHERE t.id = ANY(ARRAY(SELECT gate FROM freed)) AND t.id = g.id
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM ended) > 0 AND (SELECT count(*) FROM again) + (SELECT count(*) FROM rearmed) >= 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, next_attempt_at, started_at,
                                  finished_at, executor, error, result, code, fingerprint)
    SELECT e.id, e.job_key, e.tenant_id, e.cause, e.due, e.attempt,
           CASE WHEN u.wait IS NOT NULL AND e.retry_at IS NULL THEN 5 ELSE u.outcome END, e.retry_at,
           u.now - u.ended_ago - u.duration, u.now - u.ended_ago, e.executor, u.error, u.result,
           u.code, u.fingerprint
    FROM ordered, ended AS e JOIN u ON u.id = e.id AND u.attempt = e.attempt AND u.claim_id = e.claim_id
)
-- Over (not to be retried), so that what waits for it may go: the caller promotes on a fresh snapshot, if anything
-- waits anywhere or may just have begun to.
SELECT id, attempt, claim_id, job_key, retry_at IS NULL AS over,
       coalesce(waited_for, false)
           OR (SELECT true FROM leasehold.ahead WHERE not_before = 9223372036854775807 LIMIT 1) IS NOT NULL AS waited_for,
       ARRAY(SELECT h.gate FROM held AS h WHERE h.id = ended.id AND h.claim_id = ended.claim_id) AS gates
FROM ended
