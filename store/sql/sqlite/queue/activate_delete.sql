-- ?1 [[key, id], …] of items that are in `ready` now, ?2 as for activate_insert
DELETE FROM ahead
WHERE not_before <= ?2 AND (job_key, id) IN (SELECT value ->> 0, unhex(value ->> 1) FROM json_each(?1))
