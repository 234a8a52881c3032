-- The next dead letters of a redrive, by their place among the reports, and whether their job is still there.
-- ?1 runs, ?2 tenants, ?3 jobs, ?4 codes: JSON lists, empty = all; ?5 group or null; ?6 after, ?7 up to, ?8 limit
SELECT p.seq, p.id, p.due, j.active
FROM report AS p JOIN job AS j ON j.key = p.job_key
WHERE p.outcome = 2 AND p.redriven IS NULL
  AND (json_array_length(?1) = 0 OR p.id IN (SELECT unhex(value) FROM json_each(?1)))
  AND (json_array_length(?2) = 0 OR p.tenant_id IN (SELECT value FROM json_each(?2)))
  AND (json_array_length(?3) = 0 OR j.name IN (SELECT value FROM json_each(?3)))
  AND (json_array_length(?4) = 0 OR p.code IN (SELECT value FROM json_each(?4)))
  AND (?5 IS NULL OR coalesce(p.fingerprint, 0) = ?5)
  AND p.seq > ?6 AND p.seq <= ?7
ORDER BY p.seq LIMIT ?8
