-- Rules of time: what was dealt with, pauses, limits of runs, items that wait for a run of their job, rows of due times
-- that did not run, and the recovery budget. Expands only: the version before works on with it.

-- `accounted` is how far due times have been dealt with: each of them up to there is in the queue or has its outcome. It
-- is 0 if the version before has written the job; then every due time before the next one has been dealt with.
-- `runs_left` counts down `max_runs`. A job is paused while `paused_until` is in the future (the largest number: until
-- somebody resumes it). `resumed_at` is since when dead runs in a row count towards `pause_after`.
ALTER TABLE job ADD COLUMN accounted    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN runs_left    INTEGER;
ALTER TABLE job ADD COLUMN buffer       INTEGER NOT NULL DEFAULT 100;
ALTER TABLE job ADD COLUMN pause_after  INTEGER;
ALTER TABLE job ADD COLUMN paused_at    INTEGER;
ALTER TABLE job ADD COLUMN paused_until INTEGER;
ALTER TABLE job ADD COLUMN pause_reason TEXT;
ALTER TABLE job ADD COLUMN resumed_at   INTEGER NOT NULL DEFAULT 0;

-- Up to now every due time before the next one has been dealt with.
UPDATE job SET accounted = coalesce(next_due - 1, last_fired, 0);

CREATE INDEX job_paused ON job (key) WHERE paused_until IS NOT NULL;

-- `catch_up` says which of several missed ones runs: 0 the latest, 1 none that is later than `misfire_at`, 2 all.
-- `expires_at` counts for retries too. An item that waits for a run of its job has the largest `not_before` there is.
ALTER TABLE ahead   ADD COLUMN catch_up   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ahead   ADD COLUMN misfire_at INTEGER;
ALTER TABLE ahead   ADD COLUMN expires_at INTEGER;
ALTER TABLE ready   ADD COLUMN catch_up   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ready   ADD COLUMN misfire_at INTEGER;
ALTER TABLE ready   ADD COLUMN expires_at INTEGER;
ALTER TABLE running ADD COLUMN catch_up   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE running ADD COLUMN expires_at INTEGER;

-- Under `buffer_one` (2) and `cancel_previous` (4) at most one item of a job waits for its run.
CREATE UNIQUE INDEX ahead_buffered ON ahead (job_key)
    WHERE not_before = 9223372036854775807 AND overlap IN (2, 4);

-- Of those that wait for one run the oldest goes first.
CREATE INDEX ahead_waiting ON ahead (job_key, due, id) WHERE not_before = 9223372036854775807;

-- A report with a `count` above 1 stands for that many due times in a row, from `due_from` to `due`.
ALTER TABLE report ADD COLUMN count    INTEGER NOT NULL DEFAULT 1;
ALTER TABLE report ADD COLUMN due_from INTEGER;

-- `pruned_before`: reports that ended before then may be gone.
ALTER TABLE catalog ADD COLUMN recovery_total  INTEGER NOT NULL DEFAULT 500;
ALTER TABLE catalog ADD COLUMN recovery_tenant INTEGER NOT NULL DEFAULT 50;
ALTER TABLE catalog ADD COLUMN pruned_before   INTEGER;

-- The second in which late items were last let go: whoever moves it on lets that second's share go.
CREATE TABLE recovery (
    one    INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    second INTEGER NOT NULL
) STRICT;
INSERT INTO recovery (one, second) VALUES (1, 0);
