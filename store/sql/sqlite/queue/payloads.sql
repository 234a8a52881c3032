-- ?1 [[job key, id], …]
SELECT e.id, e.payload FROM json_each(?1) AS u
CROSS JOIN enqueued AS e ON e.job_key = u.value ->> 0 AND e.id = unhex(u.value ->> 1)
WHERE e.payload IS NOT NULL
