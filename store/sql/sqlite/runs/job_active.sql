-- ?1 job key
SELECT EXISTS (SELECT 1 FROM job WHERE key = ?1 AND active)
