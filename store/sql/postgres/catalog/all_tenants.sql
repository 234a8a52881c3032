SELECT attributes, source, roster_row FROM leasehold.tenant WHERE active ORDER BY id
