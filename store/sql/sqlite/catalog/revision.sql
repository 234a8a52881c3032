SELECT revision, recovery_total, recovery_tenant FROM catalog
