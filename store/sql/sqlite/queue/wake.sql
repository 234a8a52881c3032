-- The first of those that wait for room at a gate line up again, no further back than the line has been served.
-- ?1 gate, ?2 how many
UPDATE ready
SET queue = home, home = NULL, gate_id = NULL,
    tag = max(tag, coalesce((SELECT v FROM lane WHERE lane.queue = ready.home AND lane.prio = ready.prio), tag))
WHERE (job_key, id) IN (SELECT job_key, id FROM ready WHERE gate_id = ?1 ORDER BY prio, tag LIMIT ?2)
