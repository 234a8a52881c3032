-- Runs of these jobs that wait for their retry: there is no executor to ask. Their interval token is in `running`.
-- ?1 [key, …]
SELECT job_key, id, tenant_id, cause, due, attempt, NULL AS token FROM running
WHERE job_key IN (SELECT value FROM json_each(?1)) AND overlap <> 1 AND claim_id IS NULL
