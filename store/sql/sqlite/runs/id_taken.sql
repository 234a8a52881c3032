-- ?1 job key, ?2 id
SELECT EXISTS (SELECT 1 FROM ready WHERE job_key = ?1 AND id = ?2)
    OR EXISTS (SELECT 1 FROM ahead WHERE job_key = ?1 AND id = ?2)
    OR EXISTS (SELECT 1 FROM running WHERE id = ?2)
    OR EXISTS (SELECT 1 FROM report WHERE job_key = ?1 AND id = ?2)
