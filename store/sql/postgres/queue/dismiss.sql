-- Ends items that a claim could not start, or lets them wait for the run of their job. The reason is looked at again
-- here, on a fresh snapshot: by now an item may well be runnable, and then it stays. (Only that a later due time has
-- come cannot change: the claim says so.) The codes are those of the outcomes:
--   2 no attempt is left (invariant I11)
--   5 its job is gone, 9 its schedule has changed since (invariant I13)
--   6 its job is paused
--  10 its tenant lacks a feature that the job requires
--   8 running it is pointless by now
--   4 its limit has passed, or a later due time of the same job has come: the latest runs (an interval has no later one)
--   3 its job is running (invariant I8) and its overlap policy lets it not wait
--   9 (`cancel_previous`) a later one takes its place
--  -1 a retry whose run is gone or running already: nothing is left to say
--  -2 it waits for the run of its job
-- Locks: ready and ahead, running, job, and the order of reports last; the runs that items wait for are locked already.
-- $1 keys, $2 ids, $3 ids of those with a later due time, $4 errors by code + 1, $5 keys of jobs whose run is locked,
-- $6 error of those that a later one takes the place of, $7 code and $8 fingerprint of those without an attempt left
WITH i AS MATERIALIZED (
    SELECT ctid AS tid, * FROM leasehold.ready WHERE job_key = ANY($1) AND id = ANY($2) FOR UPDATE SKIP LOCKED
),
judged AS MATERIALIZED (
    SELECT i.*, j.buffer,
        CASE
          WHEN i.attempt > 0 AND
              (SELECT true FROM leasehold.running AS x WHERE x.id = i.id AND x.claim_id IS NULL LIMIT 1) IS NULL
              THEN -1
          WHEN NOT j.active THEN 5
          WHEN i.attempt - i.released >= i.max_attempts THEN 2
          WHEN i.attempt > 0 THEN CASE WHEN i.expires_at <= leasehold.now_us() THEN 8 END
          WHEN i.cause = 0 AND i.version < j.since THEN 9
          WHEN i.cause = 0 AND j.paused_until > leasehold.now_us() THEN 6
          WHEN j.gated THEN 10
          WHEN i.expires_at <= leasehold.now_us() THEN 8
          WHEN i.cause = 0 AND i.misfire_at <= leasehold.now_us() THEN 4
          WHEN i.id = ANY($3) THEN 4
          WHEN i.overlap <> 1 AND i.job_key = ANY($5)
              AND (SELECT true FROM leasehold.running AS x WHERE x.job_key = i.job_key AND x.overlap <> 1 LIMIT 1)
              THEN -2
        END AS outcome
    FROM i
    JOIN (SELECT key, active, since, buffer, paused_until, gated FROM leasehold.job WHERE key = ANY($1)) AS j
        ON j.key = i.job_key
),
waiting AS MATERIALIZED ( -- how many wait already, no further than it matters
    SELECT w.job_key, (SELECT count(*) FROM (
        SELECT 1 FROM leasehold.ahead AS a
        WHERE a.job_key = w.job_key AND a.not_before = 9223372036854775807 LIMIT w.buffer) AS x) AS count
    FROM (SELECT DISTINCT job_key, buffer FROM judged WHERE outcome = -2) AS w
),
place AS MATERIALIZED (
    SELECT w.id, n.count AS waiting,
           row_number() OVER (PARTITION BY w.job_key ORDER BY w.due, w.id) AS nth,
           row_number() OVER (PARTITION BY w.job_key ORDER BY w.due DESC, w.id DESC) AS nth_last
    FROM judged AS w JOIN waiting AS n ON n.job_key = w.job_key WHERE w.outcome = -2
),
d AS MATERIALIZED (
    SELECT g.tid, g.job_key, g.id, g.tenant_id, coalesce(g.home, g.queue) AS queue, g.prio, g.tag, g.cause, g.due, g.overlap, g.attempt, g.released,
           g.max_attempts, g.version, g.every_us, g.expires_at,
        CASE
          WHEN g.outcome IS DISTINCT FROM -2 THEN g.outcome
          WHEN g.overlap = 0 AND NOT (g.catch_up = 2 AND g.cause = 0 AND g.due < leasehold.now_us() - 60000000)
              THEN 3
          WHEN g.overlap = 2 AND p.waiting + p.nth > 1 THEN 3
          WHEN g.overlap = 3 AND g.cause NOT IN (2, 4) AND p.waiting + p.nth > g.buffer THEN 3
          WHEN g.overlap = 4 AND p.nth_last > 1 THEN 9
          ELSE -2
        END AS outcome,
        g.outcome = -2 AND g.overlap = 4 AS replaced
    FROM judged AS g LEFT JOIN place AS p ON p.id = g.id
),
taken AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT tid FROM d WHERE outcome IS NOT NULL)) RETURNING 1
),
replaced AS ( -- what waited under `cancel_previous`
    DELETE FROM leasehold.ahead
    WHERE job_key = ANY(ARRAY(SELECT job_key FROM d WHERE outcome = -2 AND overlap = 4))
      AND not_before = 9223372036854775807 AND overlap IN (2, 4)
    RETURNING id, job_key, tenant_id, cause, due, attempt, every_us
),
parked AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up, expires_at)
    SELECT job_key, id, tenant_id, queue, prio, tag, cause, due, 9223372036854775807, overlap, attempt, released,
           max_attempts, version, every_us, 2, expires_at
    FROM d WHERE outcome = -2 AND (SELECT count(*) FROM replaced) >= 0
    RETURNING 1
),
previous AS ( -- what `cancel_previous` cancels; a run that waits for its retry has no executor to ask
    UPDATE leasehold.running SET cancel = claim_id IS NOT NULL
    WHERE job_key = ANY(ARRAY(SELECT job_key FROM d WHERE outcome = -2 AND overlap = 4)) AND overlap <> 1
      AND (SELECT count(*) FROM parked) >= 0
    RETURNING id, claim_id
),
ended AS (
    DELETE FROM leasehold.running
    WHERE id = ANY(ARRAY(SELECT id FROM d WHERE outcome IN (2, 5, 8) AND attempt > 0)) AND claim_id IS NULL
    RETURNING job_key, every_us
),
rearmed AS ( -- found by key alone: what the row says is looked at once it is locked, not in an older snapshot
    UPDATE leasehold.job SET next_due = leasehold.due_again(active, every_us, next_due, paused_until)
    WHERE key = ANY(ARRAY(SELECT job_key FROM d
                          WHERE (outcome IN (2, 3, 4, 6, 8, 10) OR outcome = 9 AND replaced) AND every_us IS NOT NULL
                          UNION ALL SELECT job_key FROM ended WHERE every_us IS NOT NULL
                          UNION ALL SELECT job_key FROM replaced WHERE every_us IS NOT NULL))
    RETURNING 1
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE (SELECT count(*) FROM taken) > 0 AND (SELECT count(*) FROM ended) + (SELECT count(*) FROM rearmed) >= 0
      AND (SELECT count(*) FROM d WHERE outcome >= 0) + (SELECT count(*) FROM replaced) > 0
),
reported AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at, error, code,
                                  fingerprint)
    SELECT x.id, x.job_key, x.tenant_id, x.cause, x.due, x.attempt, x.outcome, leasehold.clock_us(),
           CASE WHEN x.replaced THEN $6::text ELSE ($4::text[])[x.outcome + 1] END,
           CASE WHEN x.outcome = 2 THEN $7::text END, CASE WHEN x.outcome = 2 THEN $8::bigint END
    FROM ordered, (SELECT id, job_key, tenant_id, cause, due, attempt, outcome, replaced FROM d WHERE outcome >= 0
                   UNION ALL SELECT id, job_key, tenant_id, cause, due, attempt, 9, true FROM replaced) AS x
    ORDER BY x.due
    RETURNING 1
)
SELECT (SELECT count(*) FROM taken), ARRAY(SELECT id FROM previous WHERE claim_id IS NULL),
       ARRAY(SELECT outcome::smallint FROM d WHERE outcome >= 0 UNION ALL SELECT 9::smallint FROM replaced)
