-- ?1 now
SELECT ?1, (SELECT c.revision FROM config AS c JOIN catalog AS l ON l.revision = c.latest), asked, drop_allowed, done,
       pass_config, pass_at
FROM roster
