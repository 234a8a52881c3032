-- ?1 endpoint
SELECT EXISTS (SELECT 1 FROM breaker WHERE endpoint = ?1)
