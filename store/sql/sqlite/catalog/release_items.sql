-- Items that wait for an executor or an endpoint which their job, as it is now, does not ask for any longer: they stand in
-- line again.
UPDATE ready SET queue = home, home = NULL, gate_id = NULL
WHERE gate_id < 0 AND gate_id NOT IN (
    SELECT g.value FROM job j, json_each(coalesce(j.gates, '[]')) AS g WHERE j.key = ready.job_key)
