-- ?1 total, ?2 of one tenant
UPDATE catalog SET recovery_total = ?1, recovery_tenant = ?2 WHERE one = 1
