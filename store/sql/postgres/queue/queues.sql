-- How queues stand. What is due and not ready yet counts as if it were: an executor makes it ready at its next look.
-- What an endpoint keeps open takes no slot of an executor, and is not counted as running here.
SELECT queue, sum(depth)::bigint, (leasehold.now_us() - min(oldest)) / 1000, sum(limited)::bigint, sum(running)::bigint
FROM (
    SELECT queue, count(*) AS depth, min(not_before) AS oldest, 0 AS limited, 0 AS running
    FROM leasehold.ready WHERE gate_id IS NULL GROUP BY queue
    UNION ALL
    SELECT queue, count(*), min(not_before), 0, 0 FROM leasehold.ahead WHERE not_before <= leasehold.now_us() GROUP BY queue
    UNION ALL
    SELECT home, 0, NULL, count(*), 0 FROM leasehold.ready WHERE gate_id IS NOT NULL GROUP BY home
    UNION ALL
    SELECT r.queue, 0, NULL, 0, count(*) FROM leasehold.running AS r WHERE r.claim_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM leasehold.callback AS c
                       WHERE c.id = r.id AND c.claim_id = r.claim_id AND c.within_us IS NOT NULL)
    GROUP BY r.queue
) AS x
GROUP BY queue ORDER BY queue COLLATE "C"
