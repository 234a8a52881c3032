-- All zeros: nothing was made in its place.
-- $1 runs, $2 tenants, $3 jobs, $4 codes: empty = all; $5 group or null; $6 up to
UPDATE leasehold.report AS p SET redriven = '00000000-0000-0000-0000-000000000000'
FROM leasehold.job AS j
WHERE j.key = p.job_key AND p.outcome = 2 AND p.redriven IS NULL
  AND (cardinality($1::uuid[]) = 0 OR p.id = ANY($1))
  AND (cardinality($2::text[]) = 0 OR p.tenant_id = ANY($2))
  AND (cardinality($3::text[]) = 0 OR j.name = ANY($3))
  AND (cardinality($4::text[]) = 0 OR p.code = ANY($4))
  AND ($5::bigint IS NULL OR coalesce(p.fingerprint, 0) = $5)
  AND p.seq <= $6
