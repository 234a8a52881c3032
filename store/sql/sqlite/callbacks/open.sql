-- What the endpoints of runs that were just moved may do.
-- ?1 [[id, attempt, claim, own claim, silence, in all, wait], …], ?2 now
UPDATE callback
SET claim_id = u.own, within_us = u.within_us, until = ?2 + u.total_us, retry_us = u.retry_us
FROM (SELECT r.id, r.attempt, r.claim_id AS own, value ->> 4 AS within_us, value ->> 5 AS total_us, value ->> 6 AS retry_us
      FROM json_each(?1) JOIN running AS r ON r.id = unhex(value ->> 0) AND r.claim_id = unhex(value ->> 3)) AS u
WHERE callback.id = u.id AND callback.attempt = u.attempt
