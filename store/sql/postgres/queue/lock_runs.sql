-- The runs of jobs whose items could not start. Locked while dismiss.sql decides what becomes of the items: a run that
-- ends meanwhile waits, and then finds the item that waits for it. One that is ending right now is skipped: the next
-- claim looks again.
-- $1 keys
SELECT job_key FROM leasehold.running WHERE job_key = ANY($1) AND overlap <> 1 FOR UPDATE SKIP LOCKED
