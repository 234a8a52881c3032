-- $1 job key
SELECT v.version, v.definition_id, v.valid_from, v.valid_to, d.body
FROM leasehold.job_version v JOIN leasehold.definition d ON d.id = v.definition_id
WHERE v.job_key = $1 ORDER BY v.version
