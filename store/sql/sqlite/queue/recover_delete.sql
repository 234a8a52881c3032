-- ?1 [[key, id], …] of late items, ?2 late; the same rows as recover_insert
DELETE FROM ahead
WHERE not_before <= ?2 AND (job_key, id) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?1))
