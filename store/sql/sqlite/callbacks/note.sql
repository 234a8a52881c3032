-- The guard is (id, claim, attempt).
-- ?1 [[id, attempt, claim, percent, message, log], …], ?2 now
INSERT INTO progress (id, tenant_id, attempt, percent, message, log, at)
SELECT r.id, r.tenant_id, r.attempt, u.percent, u.message, u.log, ?2
FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS attempt, unhex(value ->> 2) AS claim, value ->> 3 AS percent,
             value ->> 4 AS message, value ->> 5 AS log
      FROM json_each(?1)) AS u
JOIN running AS r ON r.id = u.id AND r.attempt = u.attempt AND r.claim_id = u.claim
WHERE true
ON CONFLICT (id) DO UPDATE
SET attempt = excluded.attempt, at = excluded.at,
    percent = CASE WHEN attempt = excluded.attempt THEN coalesce(excluded.percent, percent) ELSE excluded.percent END,
    message = CASE WHEN attempt = excluded.attempt THEN coalesce(excluded.message, message) ELSE excluded.message END,
    log = CASE WHEN attempt = excluded.attempt THEN coalesce(excluded.log, log) ELSE excluded.log END
