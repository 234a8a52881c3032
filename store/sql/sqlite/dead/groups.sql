-- Dead letters by job and error, the largest group first. The index has nothing but dead letters that nobody has dealt
-- with, however many reports there are.
-- ?1 runs, ?2 tenants, ?3 jobs, ?4 codes: JSON lists, empty = all; ?5 group or null; ?6 limit
SELECT g.name, g.code, g.fingerprint, g.n, g.tenants, g.first_at, g.last_at, s.id, s.tenant_id, s.error
FROM (SELECT j.name, p.code, coalesce(p.fingerprint, 0) AS fingerprint, count(*) AS n,
             count(DISTINCT p.tenant_id) AS tenants, min(p.finished_at) AS first_at, max(p.finished_at) AS last_at,
             max(p.seq) AS sample
      FROM report AS p JOIN job AS j ON j.key = p.job_key
      WHERE p.outcome = 2 AND p.redriven IS NULL
        AND (json_array_length(?1) = 0 OR p.id IN (SELECT unhex(value) FROM json_each(?1)))
        AND (json_array_length(?2) = 0 OR p.tenant_id IN (SELECT value FROM json_each(?2)))
        AND (json_array_length(?3) = 0 OR j.name IN (SELECT value FROM json_each(?3)))
        AND (json_array_length(?4) = 0 OR p.code IN (SELECT value FROM json_each(?4)))
        AND (?5 IS NULL OR coalesce(p.fingerprint, 0) = ?5)
      GROUP BY 1, 2, 3) AS g
JOIN report AS s ON s.seq = g.sample
ORDER BY g.n DESC, g.last_at DESC, g.name, g.fingerprint LIMIT ?6
