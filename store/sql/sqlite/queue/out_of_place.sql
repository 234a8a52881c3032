-- The waiting items of a tenant in a lane from the first one on whose place is wrong by now: it was dealt with a run time
-- that is more than twice or less than half of what it is, or it lies behind where the tenant's places end. How many
-- they are, the first tag, what all of them take of the line, what the first ?5 of them do; and how far the lane was
-- served. By way of the tenant's jobs, so that nobody else's backlog is looked at.
-- ?1 queue, ?2 prio, ?3 tenant, ?4 est, ?5 limit
WITH own AS (
    SELECT r.tag, r.job_key, r.id, r.cost, max(r.cost / s.weight, 1) AS step, s.f
    FROM share s JOIN job j ON j.tenant_id = s.tenant_id JOIN ready r ON r.job_key = j.key
    WHERE s.queue = ?1 AND s.prio = ?2 AND s.tenant_id = ?3 AND r.prio = ?2 AND coalesce(r.home, r.queue) = ?1
),
wrong AS (SELECT min(tag) AS first FROM own WHERE cost > 2 * ?4 OR 2 * cost < ?4 OR tag >= f)
SELECT (SELECT count(*) FROM own, wrong WHERE tag >= first) AS items,
       (SELECT first FROM wrong) AS first,
       (SELECT sum(step) FROM own, wrong WHERE tag >= first) AS taken,
       (SELECT sum(step) FROM (SELECT step FROM own, wrong WHERE tag >= first ORDER BY tag, job_key, id LIMIT ?5)) AS taken_by_some,
       max(l.v, coalesce((SELECT tag FROM ready WHERE queue = ?1 AND prio = ?2 ORDER BY tag LIMIT 1), l.v)) AS v,
       s.f, s.weight
FROM share s JOIN lane l ON l.queue = s.queue AND l.prio = s.prio
WHERE s.queue = ?1 AND s.prio = ?2 AND s.tenant_id = ?3
