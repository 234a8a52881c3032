-- Lanes in whose line nobody stands are served up to the clock's time at least, so that nobody pays for what is long over.
-- One that the version before filled begins at the head of its line.
-- ?1 [[key, id], …] of items in `ahead`, ?2 now
INSERT INTO lane (queue, prio, v, est)
SELECT a.queue, a.prio, coalesce(a.head, ?2), 0
FROM (SELECT l.queue, l.prio, (SELECT r.tag FROM ready r WHERE r.queue = l.queue AND r.prio = l.prio
                               ORDER BY r.tag LIMIT 1) AS head
      FROM (SELECT DISTINCT i.queue, i.prio
            FROM json_each(?1) AS u JOIN ahead i ON i.job_key = u.value ->> 0 AND i.id = unhex(u.value ->> 1)) AS l
     ) AS a
WHERE a.head IS NULL OR NOT EXISTS (SELECT 1 FROM lane l WHERE l.queue = a.queue AND l.prio = a.prio)
ON CONFLICT (queue, prio) DO UPDATE SET v = max(lane.v, excluded.v)
