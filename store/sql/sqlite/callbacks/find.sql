-- The attempt of a token. Comparing hashes tells nobody how much of a token is right, however long it takes.
-- ?1 job key, ?2 id, ?3 hash, ?4 now
SELECT c.attempt, r.claim_id, r.tenant_id, j.name, j.definition_id, r.released, ?4 - r.started_at AS running_for,
       c.within_us IS NOT NULL AS open,
       (SELECT p.outcome FROM report AS p WHERE p.job_key = ?1 AND p.id = ?2 AND p.attempt = c.attempt
        ORDER BY p.seq DESC LIMIT 1) AS outcome,
       ?4 - coalesce(r.begun_at, r.started_at) AS age
FROM callback AS c
LEFT JOIN running AS r ON r.id = c.id AND r.attempt = c.attempt AND r.claim_id = c.claim_id
LEFT JOIN job AS j ON j.key = r.job_key
WHERE c.id = ?2 AND c.token_hash = ?3
