SELECT revision, recovery_total, recovery_tenant, (SELECT c.hash FROM config AS c WHERE c.latest = catalog.revision)
FROM catalog
