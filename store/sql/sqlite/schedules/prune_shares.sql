-- What tenants that are gone used.
DELETE FROM share WHERE NOT EXISTS (SELECT 1 FROM tenant WHERE tenant.id = share.tenant_id)
