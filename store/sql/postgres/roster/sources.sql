SELECT name, asked_at, good_at, tenants, refused, refusals, error, held FROM leasehold.roster_source ORDER BY place, name
