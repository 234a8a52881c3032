-- Rules of time: what was dealt with, pauses, limits of runs, items that wait for a run of their job, rows of due times
-- that did not run, and the recovery budget. Expands only: the version before works on with it.

-- `accounted` is how far due times have been dealt with: each of them up to there is in the queue or has its outcome. It
-- is 0 if the version before has written the job; then every due time before the next one has been dealt with.
-- `runs_left` counts down `max_runs`. A job is paused while `paused_until` is in the future (the largest number: until
-- somebody resumes it). `resumed_at` is since when dead runs in a row count towards `pause_after`.
ALTER TABLE leasehold.job
    ADD COLUMN accounted    bigint  NOT NULL DEFAULT 0,
    ADD COLUMN runs_left    integer,
    ADD COLUMN buffer       integer NOT NULL DEFAULT 100,
    ADD COLUMN pause_after  integer,
    ADD COLUMN paused_at    bigint,
    ADD COLUMN paused_until bigint,
    ADD COLUMN pause_reason text,
    ADD COLUMN resumed_at   bigint  NOT NULL DEFAULT 0;

-- Up to now every due time before the next one has been dealt with.
UPDATE leasehold.job SET accounted = coalesce(next_due - 1, last_fired, 0);

-- The interval token comes back to its job (invariant I9): when it is due next. A job that has its next due time already,
-- or that is gone or is no interval job any longer, keeps what it has; one that is paused is due when the pause has ended
-- too, or when somebody resumes it.
CREATE FUNCTION leasehold.due_again(active boolean, every_us bigint, next_due bigint, paused_until bigint)
RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT CASE
    WHEN NOT active OR every_us IS NULL OR next_due IS NOT NULL THEN next_due
    ELSE nullif(greatest(paused_until, leasehold.clock_us() + every_us), 9223372036854775807) END $$;

CREATE INDEX job_paused ON leasehold.job (key) WHERE paused_until IS NOT NULL;

-- `catch_up` says which of several missed ones runs: 0 the latest, 1 none that is later than `misfire_at`, 2 all.
-- `expires_at` counts for retries too. An item that waits for a run of its job has the largest `not_before` there is.
ALTER TABLE leasehold.ahead
    ADD COLUMN catch_up   smallint NOT NULL DEFAULT 0,
    ADD COLUMN misfire_at bigint,
    ADD COLUMN expires_at bigint;
ALTER TABLE leasehold.ready
    ADD COLUMN catch_up   smallint NOT NULL DEFAULT 0,
    ADD COLUMN misfire_at bigint,
    ADD COLUMN expires_at bigint;
ALTER TABLE leasehold.running
    ADD COLUMN catch_up   smallint NOT NULL DEFAULT 0,
    ADD COLUMN expires_at bigint;

-- Under `buffer_one` (2) and `cancel_previous` (4) at most one item of a job waits for its run.
CREATE UNIQUE INDEX ahead_buffered ON leasehold.ahead (job_key)
    WHERE not_before = 9223372036854775807 AND overlap IN (2, 4);

-- Of those that wait for one run the oldest goes first.
CREATE INDEX ahead_waiting ON leasehold.ahead (job_key, due, id) WHERE not_before = 9223372036854775807;

-- A report with a `count` above 1 stands for that many due times in a row, from `due_from` to `due`.
ALTER TABLE leasehold.report
    ADD COLUMN count    integer NOT NULL DEFAULT 1,
    ADD COLUMN due_from bigint;

-- `pruned_before`: reports that ended before then may be gone.
ALTER TABLE leasehold.catalog
    ADD COLUMN recovery_total  integer NOT NULL DEFAULT 500,
    ADD COLUMN recovery_tenant integer NOT NULL DEFAULT 50,
    ADD COLUMN pruned_before   bigint;

-- The second in which late items were last let go: whoever moves it on lets that second's share go.
CREATE TABLE leasehold.recovery (
    one    integer NOT NULL PRIMARY KEY CHECK (one = 1),
    second bigint  NOT NULL
) WITH (fillfactor = 50);
INSERT INTO leasehold.recovery (one, second) VALUES (1, 0);
