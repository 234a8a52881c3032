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
-- $3 keys, $4 versions, $5 expected, $6 last due, $7 next
-- $8 item ids, $9 their keys, $10 their due times; $11 misfired ids, $12 keys, $13 due times, $14 error
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
u AS MATERIALIZED (
    SELECT u.* FROM fence,
        unnest($3::bigint[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS u(key, version, expected, last_due, next_due)
),
j AS (
    UPDATE leasehold.job
    SET next_due = CASE WHEN job.every_us IS NOT NULL AND u.last_due <= old.last_fired THEN old.last_fired + 1000
                        ELSE u.next_due END,
        last_fired = greatest(old.last_fired, u.last_due)
    FROM u JOIN (SELECT key, last_fired FROM leasehold.job WHERE key = ANY($3)) AS old ON old.key = u.key
    WHERE job.key = ANY($3) AND job.key = u.key AND job.active AND job.version = u.version
      AND job.next_due = u.expected
    RETURNING job.key, job.tenant_id, job.queue, job.prio, job.overlap, job.max_attempts, job.version, job.every_us,
              coalesce(old.last_fired, -9223372036854775808) AS fired
),
item AS (
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt,
                                 released, max_attempts, version, every_us)
    SELECT j.key, i.id, j.tenant_id, j.queue, j.prio, i.due, 0, i.due, i.due, j.overlap, 0, 0, j.max_attempts,
           j.version, j.every_us
    FROM unnest($8::uuid[], $9::bigint[], $10::bigint[]) AS i(id, key, due) JOIN j ON j.key = i.key AND i.due > j.fired
    RETURNING 1
),
ordered AS MATERIALIZED (
    SELECT leasehold.order_reports()
    WHERE cardinality($11::uuid[]) > 0 AND (SELECT count(*) FROM j) > 0 AND (SELECT count(*) FROM item) >= 0
),
misfired AS (
    INSERT INTO leasehold.report (id, job_key, tenant_id, cause, due, attempt, outcome, finished_at, error)
    SELECT m.id, j.key, j.tenant_id, 0, m.due, 0, 4, leasehold.clock_us(), $14
    FROM ordered, unnest($11::uuid[], $12::bigint[], $13::bigint[]) AS m(id, key, due)
        JOIN j ON j.key = m.key AND m.due > j.fired
    ORDER BY m.due
    RETURNING 1
)
SELECT EXISTS (SELECT 1 FROM fence), (SELECT count(*) FROM item), (SELECT count(*) FROM misfired)
