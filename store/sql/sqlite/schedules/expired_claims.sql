-- ?1 now, ?2 limit
SELECT id FROM claim WHERE lease_until < ?1 ORDER BY lease_until LIMIT ?2
