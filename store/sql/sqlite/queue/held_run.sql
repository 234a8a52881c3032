-- ?1 id, ?2 claim, ?3 attempt
SELECT job_key FROM running WHERE id = ?1 AND claim_id = ?2 AND attempt = ?3
