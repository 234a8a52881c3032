-- run, attempt, begun, done, result, and whether the attempt that began it is still under way.
-- ?1 job key, ?2 scope, ?3 name, ?4 the run that asks
SELECT o.run_id, o.attempt, o.begun_at, o.done_at, o.result,
       o.done_at IS NULL AND o.run_id <> ?4 AND EXISTS (
           SELECT 1 FROM running AS r WHERE r.id = o.run_id AND r.attempt = o.attempt AND r.claim_id IS NOT NULL)
FROM once AS o WHERE o.job_key = ?1 AND o.scope = ?2 AND o.name = ?3
