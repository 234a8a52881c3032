SELECT name, asked_at, good_at, tenants, refused, refusals, error, held FROM roster_source ORDER BY place, name
