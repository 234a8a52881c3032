-- ?1 [claim, …], ?2 executor, ?3 lease until
UPDATE claim SET lease_until = ?3
WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND executor = ?2
RETURNING id
