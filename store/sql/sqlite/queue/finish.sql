-- The guard is (id, claim, attempt): a zombie's report matches nothing (invariant I6).
-- ?1 [[id, claim, attempt], …]
DELETE FROM running
WHERE (id, claim_id, attempt) IN (SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2 FROM json_each(?1))
RETURNING id, job_key, tenant_id, cause, due, attempt, every_us, executor, started_at, overlap, gates
