-- ?1 [claim, …]
SELECT id, claim_id, attempt, released, max_attempts, cancel FROM running
WHERE claim_id IN (SELECT unhex(value) FROM json_each(?1))
