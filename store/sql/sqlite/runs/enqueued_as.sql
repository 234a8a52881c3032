-- ?1 job key, ?2 key
SELECT id FROM enqueued WHERE job_key = ?1 AND dedup = ?2
