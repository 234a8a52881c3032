SELECT c.body, c.revision, c.at FROM leasehold.config AS c JOIN leasehold.catalog AS l ON l.revision = c.latest
