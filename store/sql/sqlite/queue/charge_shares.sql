-- What runs really took, beside what their places were dealt with, moves the places that come next. `kept`: how much the
-- mean keeps of what it was.
-- ?1 [[queue, prio, tenant, what they took less what was thought, their mean, kept], …]
UPDATE share
SET f = share.f + u.beyond / share.weight,
    est = CASE WHEN share.measured THEN CAST(max(share.est * u.kept + u.mean * (1.0 - u.kept), 1) AS INTEGER)
               ELSE max(u.mean, 1) END,
    measured = 1
FROM (SELECT value ->> 0 AS queue, value ->> 1 AS prio, value ->> 2 AS tenant, value ->> 3 AS beyond,
             value ->> 4 AS mean, value ->> 5 AS kept FROM json_each(?1)) AS u
WHERE share.queue = u.queue AND share.prio = u.prio AND share.tenant_id = u.tenant
RETURNING queue, prio, tenant_id, est, cost
