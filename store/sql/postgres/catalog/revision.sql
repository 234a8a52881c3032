SELECT revision, leasehold.now_us(), recovery_total, recovery_tenant FROM leasehold.catalog
