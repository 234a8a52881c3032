SELECT revision, leasehold.now_us() FROM leasehold.catalog
