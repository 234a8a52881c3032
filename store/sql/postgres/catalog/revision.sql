SELECT revision, leasehold.now_us(), recovery_total, recovery_tenant,
       (SELECT c.hash FROM leasehold.config AS c WHERE c.latest = catalog.revision)
FROM leasehold.catalog
