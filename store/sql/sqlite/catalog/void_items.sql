-- What is queued and void now: scheduled items from before `since`, and every item of a job that is gone. Those whose
-- due time has come get a report, the others never had one.
-- ?1 [key, …] of rescheduled and removed jobs
SELECT q.job_key, q.id, q.tenant_id, q.cause, q.due, q.attempt, NULL AS token, j.active
FROM (SELECT job_key, id, tenant_id, cause, due, attempt, version FROM ready
      UNION ALL
      SELECT job_key, id, tenant_id, cause, due, attempt, version FROM ahead) AS q
JOIN job j ON j.key = q.job_key
WHERE q.job_key IN (SELECT value FROM json_each(?1))
  AND (NOT j.active OR (q.cause = 0 AND q.attempt = 0 AND q.version < j.since))
