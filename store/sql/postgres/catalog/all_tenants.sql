SELECT attributes FROM leasehold.tenant WHERE active ORDER BY id
