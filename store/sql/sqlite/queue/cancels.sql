-- ?1 [claim, …]
SELECT id FROM running WHERE claim_id IN (SELECT unhex(value) FROM json_each(?1)) AND cancel
