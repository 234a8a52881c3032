-- How far lanes were served, and what runs take in them.
-- ?1 [[queue, prio, largest tag that was claimed or null, mean or null, how much the mean keeps], …], ?2 now
INSERT INTO lane (queue, prio, v, est)
SELECT u.queue, u.prio, coalesce(u.tag, l.v, ?2),
       CASE WHEN u.mean IS NULL THEN coalesce(l.est, 0)
            WHEN coalesce(l.est, 0) = 0 THEN max(u.mean, 1)
            ELSE CAST(max(l.est * u.kept + u.mean * (1.0 - u.kept), 1) AS INTEGER) END
FROM (SELECT value ->> 0 AS queue, value ->> 1 AS prio, value ->> 2 AS tag, value ->> 3 AS mean, value ->> 4 AS kept
      FROM json_each(?1)) AS u
LEFT JOIN lane l ON l.queue = u.queue AND l.prio = u.prio
WHERE true
ON CONFLICT (queue, prio) DO UPDATE SET v = max(lane.v, excluded.v), est = excluded.est
