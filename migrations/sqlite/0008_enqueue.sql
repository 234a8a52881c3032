-- One-off runs with a payload of their own, and what runs do once. Expands only: the version before works on with it, but
-- cannot read the cause of such a run: enqueue once every executor is of this version.

-- A run that was enqueued, for as long as it is known: while it is in the queue, and then as long as reports are kept. An
-- executor reads the row for such runs only. `payload` null: the job's own. `dedup` makes two requests one.
CREATE TABLE enqueued (
    job_key   INTEGER NOT NULL,
    id        BLOB    NOT NULL,
    tenant_id TEXT    NOT NULL,
    dedup     TEXT,
    payload   TEXT,
    at        INTEGER NOT NULL,
    PRIMARY KEY (job_key, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX enqueued_dedup ON enqueued (job_key, dedup) WHERE dedup IS NOT NULL;
CREATE INDEX enqueued_at ON enqueued (at);

-- What runs of a job do once. `scope`: the run, or what the handler says. (run_id, attempt) began it last; it is done since
-- `done_at`.
CREATE TABLE once (
    job_key   INTEGER NOT NULL,
    scope     TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    tenant_id TEXT    NOT NULL,
    run_id    BLOB    NOT NULL,
    attempt   INTEGER NOT NULL,
    begun_at  INTEGER NOT NULL,
    done_at   INTEGER,
    result    TEXT,
    PRIMARY KEY (job_key, scope, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX once_begun ON once (begun_at);
