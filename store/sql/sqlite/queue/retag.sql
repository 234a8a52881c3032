-- New places for the waiting items of a tenant in a lane, in the order of the old ones.
-- ?1 queue, ?2 prio, ?3 tenant, ?4 est, ?5 first old tag, ?6 limit, ?7 where they begin, ?8 step
UPDATE ready SET tag = ?7 + (u.place - 1) * ?8, cost = ?4
FROM (SELECT r.job_key, r.id, row_number() OVER (ORDER BY r.tag, r.job_key, r.id) AS place
      FROM job j JOIN ready r ON r.job_key = j.key
      WHERE j.tenant_id = ?3 AND r.prio = ?2 AND coalesce(r.home, r.queue) = ?1 AND r.tag >= ?5
      ORDER BY r.tag, r.job_key, r.id LIMIT ?6) AS u
WHERE ready.job_key = u.job_key AND ready.id = u.id
