DELETE FROM leasehold.definition AS d
WHERE NOT EXISTS (SELECT 1 FROM leasehold.job AS j WHERE j.definition_id = d.id)
  AND NOT EXISTS (SELECT 1 FROM leasehold.job_version AS v WHERE v.definition_id = d.id)
