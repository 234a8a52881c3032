-- The next dead letters of a redrive, by their place among the reports, and whether their job is still there.
-- $1 runs, $2 tenants, $3 jobs, $4 codes: empty = all; $5 group or null; $6 after, $7 up to, $8 limit
SELECT p.seq, p.id, p.due, j.active
FROM leasehold.report AS p JOIN leasehold.job AS j ON j.key = p.job_key
WHERE p.outcome = 2 AND p.redriven IS NULL
  AND (cardinality($1::uuid[]) = 0 OR p.id = ANY($1))
  AND (cardinality($2::text[]) = 0 OR p.tenant_id = ANY($2))
  AND (cardinality($3::text[]) = 0 OR j.name = ANY($3))
  AND (cardinality($4::text[]) = 0 OR p.code = ANY($4))
  AND ($5::bigint IS NULL OR coalesce(p.fingerprint, 0) = $5)
  AND p.seq > $6 AND p.seq <= $7
ORDER BY p.seq LIMIT $8
