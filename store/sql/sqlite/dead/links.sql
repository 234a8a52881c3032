-- The dead run that a run was made for, and the run that was made for a dead one.
-- ?1 job key, ?2 id
SELECT (SELECT p.id FROM report AS p WHERE p.redriven = ?2 LIMIT 1),
       (SELECT p.redriven FROM report AS p WHERE p.job_key = ?1 AND p.id = ?2 AND p.redriven IS NOT NULL LIMIT 1)
