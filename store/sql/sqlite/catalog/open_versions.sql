-- ?1 as put_jobs, ?2 now
INSERT INTO job_version (job_key, version, definition_id, valid_from)
SELECT value ->> 0, value ->> 3, unhex(value ->> 4), ?2 FROM json_each(?1)
