-- How the queues stand that have any item or run. What is due and not ready yet waits as well: without an executor
-- nothing becomes ready. What waits for room under a limit stands in no queue.
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
    SELECT queue, 0, NULL, 0, count(*) FROM running WHERE claim_id IS NOT NULL GROUP BY queue
)
GROUP BY queue ORDER BY queue
