-- ?1 [[key, id], …]
DELETE FROM ahead WHERE (job_key, id) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?1))
