-- ?1 endpoint
DELETE FROM breaker WHERE endpoint = ?1 RETURNING gate_id
