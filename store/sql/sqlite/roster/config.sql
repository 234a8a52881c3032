SELECT c.body, c.revision, c.at FROM config AS c JOIN catalog AS l ON l.revision = c.latest
