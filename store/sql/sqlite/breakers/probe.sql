-- ?1 endpoint
UPDATE breaker SET probing = true WHERE endpoint = ?1
