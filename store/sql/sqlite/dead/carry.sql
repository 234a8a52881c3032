-- What an application had handed over with the dead run goes with the new one.
-- ?1 [[place of the dead run's report, id of the run that was made for it], …], ?2 now
INSERT INTO enqueued (job_key, id, tenant_id, payload, at)
SELECT e.job_key, unhex(u.value ->> 1), e.tenant_id, e.payload, ?2
FROM json_each(?1) AS u JOIN report AS p ON p.seq = u.value ->> 0
JOIN enqueued AS e ON e.job_key = p.job_key AND e.id = p.id
