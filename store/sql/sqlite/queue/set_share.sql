-- ?1 queue, ?2 prio, ?3 tenant, ?4 where its places end, ?5 the same, if all of them were dealt anew, ?6 what they were
-- dealt with
UPDATE share SET f = ?4, tail = coalesce(?5, tail), cost = ?6 WHERE queue = ?1 AND prio = ?2 AND tenant_id = ?3
