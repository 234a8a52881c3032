-- Places for items that become ready. Those of a tenant in a lane begin where its last one ends, or a second before the
-- time to which the lane was served, if that is later; each takes a mean run time, divided by the tenant's weight. The
-- lane was served up to the head of its line, or further.
-- ?1 [[key, id], …] of items in `ahead`, ?2 those with a later `not_before` are left out
INSERT INTO share (queue, prio, tenant_id, f, base, tail, est, cost, weight, dealt)
SELECT queue, prio, tenant_id, v - 1000000 + n * max(est / weight, 1), v - 1000000,
       v - 1000000 + n * max(est / weight, 1), est, est, weight, n
FROM (
    SELECT d.queue, d.prio, d.tenant_id, d.n,
           max(l.v, coalesce((SELECT r.tag FROM ready r WHERE r.queue = d.queue AND r.prio = d.prio
                              ORDER BY r.tag LIMIT 1), l.v)) AS v,
           coalesce(nullif(l.est, 0), 100000) AS est,
           coalesce((SELECT t.weight FROM tenant t WHERE t.id = d.tenant_id), 1) AS weight
    FROM (SELECT a.queue, a.prio, a.tenant_id, count(*) AS n
          FROM json_each(?1) AS u JOIN ahead a ON a.job_key = u.value ->> 0 AND a.id = unhex(u.value ->> 1)
          WHERE a.not_before <= ?2 GROUP BY a.queue, a.prio, a.tenant_id) AS d
    JOIN lane l ON l.queue = d.queue AND l.prio = d.prio
) AS u WHERE true
ON CONFLICT (queue, prio, tenant_id) DO UPDATE
SET base = max(share.f, excluded.base, CASE WHEN share.tail > excluded.base + 1000000 THEN share.tail ELSE share.f END),
    tail = max(share.f, excluded.base, CASE WHEN share.tail > excluded.base + 1000000 THEN share.tail ELSE share.f END)
         + excluded.dealt * max(CASE WHEN share.measured THEN share.est ELSE excluded.est END / excluded.weight, 1),
    f = max(share.f, excluded.base)
      + excluded.dealt * max(CASE WHEN share.measured THEN share.est ELSE excluded.est END / excluded.weight, 1),
    est = CASE WHEN share.measured THEN share.est ELSE excluded.est END,
    cost = CASE WHEN CASE WHEN share.measured THEN share.est ELSE excluded.est END
                     BETWEEN (share.cost + 1) / 2 AND 2 * share.cost THEN share.cost ELSE 0 END,
    weight = excluded.weight, dealt = excluded.dealt
