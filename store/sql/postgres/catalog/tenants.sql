-- $1 after, $2 limit
SELECT attributes FROM leasehold.tenant WHERE active AND id > $1 ORDER BY id LIMIT $2
