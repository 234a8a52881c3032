-- $1 after, $2 limit
SELECT attributes, source, roster_row FROM leasehold.tenant WHERE active AND id > $1 ORDER BY id LIMIT $2
