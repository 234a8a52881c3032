-- How the queues stand that have any item or run. What is due and not ready yet waits as well: without an executor
-- nothing becomes ready. What waits for room under a limit stands in no queue. What an endpoint keeps open takes no slot
-- of an executor, and is not counted as running here.
-- ?1 now
SELECT queue, sum(depth), min(oldest), sum(limited), sum(running)
FROM (
    SELECT queue, count(*) AS depth, min(not_before) AS oldest, 0 AS limited, 0 AS running
    FROM ready WHERE gate_id IS NULL GROUP BY queue
    UNION ALL
    SELECT queue, count(*), min(not_before), 0, 0 FROM ahead WHERE not_before <= ?1 GROUP BY queue
    UNION ALL
    SELECT home, 0, NULL, count(*), 0 FROM ready WHERE gate_id IS NOT NULL GROUP BY home
    UNION ALL
    SELECT r.queue, 0, NULL, 0, count(*) FROM running AS r WHERE r.claim_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM callback AS c
                       WHERE c.id = r.id AND c.claim_id = r.claim_id AND c.within_us IS NOT NULL)
    GROUP BY r.queue
)
GROUP BY queue ORDER BY queue
