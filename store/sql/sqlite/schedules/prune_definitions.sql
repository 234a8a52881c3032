DELETE FROM definition
WHERE id NOT IN (SELECT definition_id FROM job) AND id NOT IN (SELECT definition_id FROM job_version)
