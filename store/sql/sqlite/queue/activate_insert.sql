-- They line up at the places that were just dealt.
-- ?1 [[key, id], …] in order, ?2 those with a later `not_before` are left out
INSERT INTO ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap, attempt, released,
                   max_attempts, version, every_us, catch_up, misfire_at, expires_at)
SELECT a.job_key, a.id, a.tenant_id, a.queue, a.prio,
       s.base + (row_number() OVER (PARTITION BY a.queue, a.prio, a.tenant_id ORDER BY u.key) - 1)
              * max(s.est / s.weight, 1),
       s.est, a.cause, a.due, a.not_before, a.overlap, a.attempt, a.released, a.max_attempts, a.version, a.every_us,
       a.catch_up, a.misfire_at, a.expires_at
FROM json_each(?1) AS u
JOIN ahead a ON a.job_key = u.value ->> 0 AND a.id = unhex(u.value ->> 1)
JOIN share s ON s.queue = a.queue AND s.prio = a.prio AND s.tenant_id = a.tenant_id
WHERE a.not_before <= ?2
