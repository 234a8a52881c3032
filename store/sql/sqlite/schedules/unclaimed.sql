-- Waiting items that nobody ran in time, the oldest first, and for each of them whether it ends here (the code of its
-- outcome), so that it neither waits for a claim nor costs the recovery budget:
--   4 its limit has passed, or (catch-up `last`) a later due time of the job has come
--   8 running it is pointless by now
-- ?1 now, ?2 late, ?3 limit
SELECT a.job_key, a.id, a.due, a.every_us,
       CASE
         WHEN a.misfire_at <= ?1 THEN 4
         WHEN a.expires_at <= ?1 THEN 8
         WHEN a.catch_up = 0 AND a.every_us IS NULL AND (
                  EXISTS (SELECT 1 FROM ahead l WHERE l.job_key = a.job_key AND l.id > a.id AND l.due > a.due
                             AND l.cause = 0 AND l.attempt = 0 AND l.not_before <= ?1)
               OR EXISTS (SELECT 1 FROM ready l WHERE l.job_key = a.job_key AND l.id > a.id AND l.due > a.due
                             AND l.cause = 0 AND l.attempt = 0)) THEN 4
       END AS outcome
FROM (SELECT * FROM ahead
      WHERE not_before <= ?2 AND attempt = 0 AND cause = 0
        AND (catch_up = 0 OR misfire_at <= ?1 OR expires_at <= ?1)
      ORDER BY not_before LIMIT ?3) AS a
ORDER BY a.job_key, a.due, a.id
