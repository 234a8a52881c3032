-- Runs get a claim of their own, held by nobody. The guard is (id, claim, attempt). Locks runs, and waits for a rescue or
-- a settle that has one: it then finds the run gone or given back. What it inserts nobody else knows yet, so the order of
-- locks (claims before runs) does not matter here. Gates stay held.
-- A run that somebody asked to cancel has no time left, so that the next rescue ends it.
-- $1 ids, $2 attempts, $3 claims, $4 their own claims, $5 silence, $6 in all, $7 waits until the retry (null: none)
WITH u AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS u(id, attempt, claim_id, own, within_us, total_us, retry_us)
),
moved AS (
    UPDATE leasehold.running AS r SET claim_id = u.own
    FROM u
    WHERE r.id = ANY($1) AND r.id = u.id AND r.claim_id = u.claim_id AND r.attempt = u.attempt
    RETURNING r.id, r.attempt, r.cancel, u.claim_id, u.own, u.within_us, u.total_us, u.retry_us
),
minted AS (
    INSERT INTO leasehold.claim (id, executor, lease_until)
    SELECT own, '00000000-0000-0000-0000-000000000000',
           leasehold.clock_us() + CASE WHEN cancel THEN 0 ELSE least(within_us, total_us) END
    FROM moved
),
opened AS (
    UPDATE leasehold.callback AS c
    SET claim_id = m.own, within_us = m.within_us, until = leasehold.clock_us() + m.total_us, retry_us = m.retry_us
    FROM moved AS m
    WHERE c.id = ANY($1) AND c.id = m.id AND c.attempt = m.attempt
)
SELECT id, attempt, claim_id FROM moved
