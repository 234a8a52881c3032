-- ?1 [claim, …]
DELETE FROM claim WHERE id IN (SELECT unhex(value) FROM json_each(?1))
