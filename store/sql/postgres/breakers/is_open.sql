-- $1 endpoint
SELECT EXISTS (SELECT 1 FROM leasehold.breaker WHERE endpoint = $1)
