DELETE FROM job_version WHERE NOT EXISTS (SELECT 1 FROM job WHERE job.key = job_version.job_key)
