-- $1 total, $2 of one tenant
UPDATE leasehold.catalog SET recovery_total = $1, recovery_tenant = $2 WHERE one = 1
