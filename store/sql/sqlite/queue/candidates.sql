-- The head of the line, and for each item why it must not run, if so (the code of its outcome):
--   5 its job is gone, 9 its schedule has changed since (invariant I13)
--   2 it has no attempt left (invariant I11)
--   6 its job is paused
--   10 its tenant lacks a feature that the job requires
--   8 running it is pointless by now
--   4 its limit has passed, or a later due time of the same job has come: the latest runs (an interval has none)
--   3 its job is running (invariant I8; what this statement cannot know yet, the unique index on `running` does): its
--     overlap policy then says whether it waits
-- ?1 queue, ?2 now, ?3 limit, ?4 instead of the queue what they wait for that this executor can do, ?5 [queue, …] that it
-- serves
SELECT r.job_key, r.id, r.tenant_id, coalesce(r.home, r.queue), r.prio, r.cause, r.due, r.overlap, r.attempt, r.released,
       r.max_attempts, r.version, r.every_us, j.name, j.definition_id, t.revision,
       CASE
         WHEN NOT j.active THEN 5
         WHEN r.attempt - r.released >= r.max_attempts THEN 2
         WHEN r.attempt > 0 THEN CASE WHEN r.expires_at <= ?2 THEN 8 END
         WHEN r.cause = 0 AND r.version < j.since THEN 9
         WHEN r.cause = 0 AND j.paused_until > ?2 THEN 6
         WHEN j.gated THEN 10
         WHEN r.expires_at <= ?2 THEN 8
         WHEN r.cause = 0 AND r.misfire_at <= ?2 THEN 4
         WHEN r.cause = 0 AND r.catch_up = 0 AND r.every_us IS NULL AND (
                  EXISTS (SELECT 1 FROM ready l WHERE l.job_key = r.job_key AND l.id > r.id AND l.due > r.due
                             AND l.cause = 0 AND l.attempt = 0 AND l.version >= j.since)
               OR EXISTS (SELECT 1 FROM ahead l WHERE l.job_key = r.job_key AND l.id > r.id AND l.due > r.due
                             AND l.cause = 0 AND l.attempt = 0 AND l.version >= j.since AND l.not_before <= ?2)) THEN 4
         WHEN r.overlap <> 1 AND EXISTS (SELECT 1 FROM running x WHERE x.job_key = r.job_key AND x.overlap <> 1)
              THEN 3
       END AS dismissal,
       r.catch_up, r.not_before, j.buffer, r.tag, r.cost, j.gates
FROM (SELECT * FROM (SELECT * FROM ready WHERE queue = ?1 ORDER BY prio, tag LIMIT ?3)
      UNION ALL
      SELECT * FROM (SELECT * FROM ready WHERE gate_id = ?4 AND home IN (SELECT value FROM json_each(?5))
                     ORDER BY prio, tag LIMIT ?3)) AS r
JOIN job j ON j.key = r.job_key
LEFT JOIN tenant t ON t.id = r.tenant_id
ORDER BY r.prio, r.tag
LIMIT ?3
