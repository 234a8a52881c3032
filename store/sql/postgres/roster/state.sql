SELECT leasehold.now_us(), (SELECT c.revision FROM leasehold.config AS c JOIN leasehold.catalog AS l ON l.revision = c.latest),
       asked, drop_allowed, done, pass_config, pass_at
FROM leasehold.roster
