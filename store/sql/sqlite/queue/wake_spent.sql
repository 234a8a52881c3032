-- Items that wait for room and that nobody needs any longer (their time is over) stand in line again, so that a claim ends
-- them.
-- ?1 now, ?2 limit
UPDATE ready SET queue = home, home = NULL, gate_id = NULL
WHERE (job_key, id) IN (
    SELECT job_key, id FROM (
        SELECT job_key, id FROM ready WHERE gate_id IS NOT NULL AND expires_at IS NOT NULL AND expires_at <= ?1
        UNION
        SELECT job_key, id FROM ready WHERE gate_id IS NOT NULL AND misfire_at IS NOT NULL AND misfire_at <= ?1)
    LIMIT ?2)
