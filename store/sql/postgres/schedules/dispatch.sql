-- Fan-out. The term is locked and checked in this very statement (invariant I3): FOR KEY SHARE waits for a takeover
-- that is under way and then sees its epoch; an unlocked check would let a stale write commit.
--
-- Compare-and-set on (version, next_due): a launch planned from anything else is left out (invariants I2, I13). A due
-- time must also be later than any that fired before: the ids of finished runs are no longer in the queue's tables,
-- so the watermark is what keeps them from coming back (invariant I1). A due time that is not later is left out, and
-- the job advances all the same, or it would be due for ever; an interval, which has one due time and then waits for
-- its completion, moves past the watermark. The watermark as it was comes from `old`, the row of this statement's
-- snapshot: whatever changes it changes (version, next_due) too, and then the compare-and-set fails.
-- $1 holder, $2 epoch
-- $3 keys, $4 versions, $5 expected, $6 last due time queued or null, $7 next, $8 accounted, $9 runs left, $10 over,
-- $11 catch-up; items: $12 ids, $13 keys, $14 due times, $15 not before, $16 misfire at, $17 expires at
-- rows of due times that do not run: $18 ids, $19 keys, $20 last, $21 first or null, $22 counts, $23 outcomes, $24 errors
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
u AS MATERIALIZED (
    SELECT u.* FROM fence,
        unnest($3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::integer[],
               $10::boolean[], $11::smallint[])
        AS u(key, version, expected, last_due, next_due, accounted, runs_left, over, catch_up)
),
j AS (
    UPDATE leasehold.job
    SET next_due = CASE WHEN job.every_us IS NOT NULL AND u.last_due <= old.last_fired THEN old.last_fired + 1000
                        ELSE u.next_due END,
        last_fired = greatest(old.last_fired, u.last_due),
        accounted = greatest(job.accounted, u.accounted),
        runs_left = CASE WHEN job.every_us IS NOT NULL AND u.last_due <= old.last_fired THEN job.runs_left
                         ELSE u.runs_left END,
        every_us = CASE WHEN NOT u.over THEN job.every_us END
    FROM u JOIN (SELECT key, last_fired FROM leasehold.job WHERE key = ANY($3)) AS old ON old.key = u.key
    WHERE job.key = ANY($3) AND job.key = u.key AND job.active AND job.version = u.version
      AND job.next_due = u.expected
    RETURNING job.key, job.tenant_id, job.queue, job.prio, job.overlap, job.max_attempts, job.version, job.every_us,
              u.catch_up, coalesce(old.last_fired, -9223372036854775808) AS fired
),
item AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us, catch_up, misfire_at, expires_at)
    SELECT j.key, i.id, j.tenant_id, j.queue, j.prio, i.not_before, 0, i.due, i.not_before, j.overlap, 0, 0,
           j.max_attempts, j.version, j.every_us, j.catch_up, i.misfire_at, i.expires_at
    FROM unnest($12::uuid[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[])
            AS i(id, key, due, not_before, misfire_at, expires_at)
        JOIN j ON j.key = i.key AND i.due > j.fired
    RETURNING 1
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE cardinality($18::uuid[]) > 0 AND (SELECT count(*) FROM j) > 0 AND (SELECT count(*) FROM item) >= 0
),
skipped AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, due_from, count, attempt, outcome, finished_at,
                                  error)
    SELECT s.id, j.key, j.tenant_id, 0, s.due, s.due_from, s.count, 0, s.outcome, leasehold.clock_us(), s.error
    FROM ordered, unnest($18::uuid[], $19::bigint[], $20::bigint[], $21::bigint[], $22::integer[], $23::smallint[],
                         $24::text[]) AS s(id, key, due, due_from, count, outcome, error)
        JOIN j ON j.key = s.key AND s.due > j.fired
    ORDER BY s.due
    RETURNING outcome, count
)
SELECT EXISTS (SELECT 1 FROM fence), (SELECT count(*) FROM j), (SELECT count(*) FROM item),
       (SELECT coalesce(sum(count), 0) FROM skipped WHERE outcome = 4)::bigint,
       (SELECT coalesce(sum(count), 0) FROM skipped WHERE outcome = 6)::bigint,
       (SELECT coalesce(sum(count), 0) FROM skipped WHERE outcome = 7)::bigint,
       (SELECT coalesce(sum(count), 0) FROM skipped WHERE outcome = 10)::bigint
