-- Lanes in which nobody waits: what these tenants used is held against none of them, since nobody else wanted it. All
-- begin anew, as if the lane had been served up to the last of their places.
-- ?1 [[queue, prio, tenant], …], ?2 now, ?3 late
UPDATE lane SET v = max(lane.v, u.f)
FROM (SELECT s.queue, s.prio, max(s.f) AS f
      FROM json_each(?1) AS c
      JOIN share s ON s.queue = c.value ->> 0 AND s.prio = c.value ->> 1 AND s.tenant_id = c.value ->> 2
      GROUP BY s.queue, s.prio) AS u
WHERE lane.queue = u.queue AND lane.prio = u.prio
  AND NOT EXISTS (SELECT 1 FROM ready r WHERE r.queue = u.queue AND r.prio = u.prio)
  AND NOT EXISTS (SELECT 1 FROM ahead a WHERE a.not_before > ?3 AND a.not_before <= ?2)
