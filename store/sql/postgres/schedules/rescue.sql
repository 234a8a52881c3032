-- Claims whose lease has expired: their runs go back into the queue, or end if they have no attempt left (invariants
-- I11, I12). Claims are locked first, then the gates that their runs hold, in the order of their ids, and then runs, as
-- in settle; an executor that extends its claim right now is skipped or finds it gone. What gates hold is given back once,
-- with the claim. Runs go back by way of `ahead`, where their new place in line is dealt. A run that its endpoint kept
-- open and did not report waits for its retry as a failed one.
-- $1 holder, $2 epoch, $3 limit; $4 error, $5 its code, $6 its fingerprint; $7, $8, $9 the same of a run that was open
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
expired AS MATERIALIZED (
    SELECT c.id FROM leasehold.claim AS c
    WHERE c.lease_until < leasehold.now_us() AND EXISTS (SELECT 1 FROM fence)
    ORDER BY c.lease_until LIMIT $3
    FOR UPDATE SKIP LOCKED
),
seen AS MATERIALIZED ( -- a run that somebody asked to cancel gets no further attempt
    SELECT id, cancel, gates FROM leasehold.running
    WHERE claim_id = ANY(ARRAY(SELECT id FROM expired)) AND (cancel OR gates IS NOT NULL)
),
cancelled AS MATERIALIZED (SELECT id FROM seen WHERE cancel),
opened AS MATERIALIZED (
    SELECT id, retry_us FROM leasehold.callback
    WHERE id = ANY(ARRAY(SELECT id FROM leasehold.running WHERE claim_id = ANY(ARRAY(SELECT id FROM expired))))
      AND claim_id = ANY(ARRAY(SELECT id FROM expired)) AND within_us IS NOT NULL
),
stop AS MATERIALIZED (SELECT id FROM cancelled UNION ALL SELECT id FROM opened WHERE retry_us IS NULL),
held AS MATERIALIZED (SELECT s.id, g.id AS gate FROM seen AS s CROSS JOIN LATERAL unnest(s.gates) AS g(id)),
gate AS MATERIALIZED (
    SELECT id, in_use FROM leasehold.gate WHERE id = ANY(ARRAY(SELECT gate FROM held)) ORDER BY id FOR UPDATE
),
back AS (
    UPDATE leasehold.running SET claim_id = NULL, gates = NULL
    WHERE claim_id = ANY(ARRAY(SELECT id FROM expired)) AND attempt - released < max_attempts
      AND id <> ALL(ARRAY(SELECT id FROM stop)) AND (SELECT count(*) FROM gate) >= 0
    RETURNING *, leasehold.now_us() + coalesce((SELECT retry_us FROM opened AS o WHERE o.id = running.id), 0) AS retry_at
),
dead AS (
    DELETE FROM leasehold.running
    WHERE claim_id = ANY(ARRAY(SELECT id FROM expired))
      AND (attempt - released >= max_attempts OR id = ANY(ARRAY(SELECT id FROM stop)))
      AND (SELECT count(*) FROM gate) >= 0
    RETURNING *
),
again AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up, expires_at)
    SELECT job_key, id, tenant_id, queue, prio, retry_at, cause, due, retry_at, overlap, attempt,
           released, max_attempts, version, NULL, -- the interval token stays in `running`
           catch_up, expires_at
    FROM back
    RETURNING 1
),
rearmed AS ( -- found by key alone: what the row says is looked at once it is locked, not in an older snapshot
    UPDATE leasehold.job SET next_due = leasehold.due_again(active, every_us, next_due, paused_until)
    WHERE key = ANY(ARRAY(SELECT job_key FROM dead WHERE every_us IS NOT NULL))
    RETURNING 1
),
freed AS MATERIALIZED (
    SELECT h.gate, count(*) AS n
    FROM held AS h JOIN (SELECT id FROM back UNION ALL SELECT id FROM dead) AS x ON x.id = h.id
    GROUP BY h.gate
),
given AS (
    UPDATE leasehold.gate AS t SET in_use = greatest(g.in_use - f.n, 0)
    FROM freed AS f JOIN gate AS g ON g.id = f.gate
    WHERE t.id = ANY(ARRAY(SELECT gate FROM freed)) AND t.id = g.id
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM back) + (SELECT count(*) FROM dead) > 0
      AND (SELECT count(*) FROM again) + (SELECT count(*) FROM rearmed) >= 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, next_attempt_at, started_at,
                                  finished_at, executor, error, code, fingerprint)
    SELECT x.id, x.job_key, x.tenant_id, x.cause, x.due, x.attempt, x.outcome, x.next_attempt_at, x.started_at,
           leasehold.clock_us(), x.executor, CASE WHEN x.open THEN $7 ELSE $4 END, CASE WHEN x.open THEN $8 ELSE $5 END,
           CASE WHEN x.outcome = 2 THEN CASE WHEN x.open THEN $9::bigint ELSE $6::bigint END END
    FROM ordered, (SELECT y.*, y.id = ANY(ARRAY(SELECT id FROM opened)) AS open
                   FROM (SELECT *, 1 AS outcome, retry_at AS next_attempt_at FROM back
                         UNION ALL SELECT *, NULL, CASE WHEN cancel THEN 5 ELSE 2 END, NULL FROM dead) AS y) AS x
),
dropped AS (
    DELETE FROM leasehold.claim WHERE id = ANY(ARRAY(SELECT id FROM expired))
)
SELECT EXISTS (SELECT 1 FROM fence), (SELECT count(*) FROM back), (SELECT count(*) FROM dead),
       ARRAY(SELECT job_key FROM dead WHERE cause = 0 AND NOT cancel),
       (SELECT true FROM leasehold.ahead WHERE not_before = 9223372036854775807 LIMIT 1)
