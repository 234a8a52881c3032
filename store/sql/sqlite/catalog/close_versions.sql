-- ?1 [key, …], ?2 now
UPDATE job_version SET valid_to = ?2 WHERE job_key IN (SELECT value FROM json_each(?1)) AND valid_to IS NULL
