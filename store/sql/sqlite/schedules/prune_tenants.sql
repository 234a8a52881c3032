DELETE FROM tenant WHERE NOT active AND NOT EXISTS (SELECT 1 FROM job WHERE job.tenant_id = tenant.id)
