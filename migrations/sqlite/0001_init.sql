-- The first schema. All instants and spans are integers in microseconds (since 1970, UTC): text timestamps do not
-- sort. Ids of runs, claims, executors and definitions are the 16 bytes of a UUID. ARCHITECTURE.md tells the tables.

-- Who leads. The epoch only ever grows; a term is (holder, epoch).
CREATE TABLE lease (
    name       TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    holder     BLOB,
    host       TEXT    NOT NULL DEFAULT '',
    pid        INTEGER NOT NULL DEFAULT 0,
    elected_at INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The catalog's revision: whoever changes the catalog compares and sets it.
CREATE TABLE catalog (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO catalog (one, revision) VALUES (1, 0);

CREATE TABLE tenant (
    id         TEXT    NOT NULL PRIMARY KEY,
    attributes TEXT    NOT NULL,
    revision   INTEGER NOT NULL,
    active     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What jobs are, by content hash.
CREATE TABLE definition (
    id   BLOB NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each (tenant, job). A removed job keeps its row for the sake of its history. `since` is the version
-- from which its schedule is what it is now: queued items of older versions are void.
CREATE TABLE job (
    key           INTEGER NOT NULL PRIMARY KEY,
    tenant_id     TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    active        INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    since         INTEGER NOT NULL,
    definition_id BLOB    NOT NULL,
    queue         TEXT    NOT NULL,
    prio          INTEGER NOT NULL,
    overlap       INTEGER NOT NULL,
    max_attempts  INTEGER NOT NULL,
    every_us      INTEGER,
    next_due      INTEGER,
    last_fired    INTEGER,
    UNIQUE (tenant_id, name)
) STRICT;
CREATE INDEX job_due ON job (next_due, tenant_id) WHERE next_due IS NOT NULL;

-- Which definition was in force when.
CREATE TABLE job_version (
    job_key       INTEGER NOT NULL,
    version       INTEGER NOT NULL,
    definition_id BLOB    NOT NULL,
    valid_from    INTEGER NOT NULL,
    valid_to      INTEGER,
    PRIMARY KEY (job_key, version)
) STRICT, WITHOUT ROWID;

-- A run is in one of ahead (not yet due), ready (due) and running (claimed once and not over). A run that waits for
-- its retry is in `running` without a claim, and in `ahead` or `ready` too.
CREATE TABLE ahead (
    job_key      INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    tenant_id    TEXT    NOT NULL,
    queue        TEXT    NOT NULL,
    prio         INTEGER NOT NULL,
    tag          INTEGER NOT NULL,
    cause        INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    overlap      INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    released     INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    every_us     INTEGER,
    PRIMARY KEY (job_key, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ahead_not_before ON ahead (not_before);

-- `tag` is the place in line within a priority.
CREATE TABLE ready (
    job_key      INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    tenant_id    TEXT    NOT NULL,
    queue        TEXT    NOT NULL,
    prio         INTEGER NOT NULL,
    tag          INTEGER NOT NULL,
    cause        INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    overlap      INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    released     INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    every_us     INTEGER,
    PRIMARY KEY (job_key, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ready_line ON ready (queue, prio, tag);

-- `every_us` is the interval token: the end of this run sets the job's next due time. A run that has not started has it
-- in `ahead` or `ready`; from the first attempt on it is here, and only here.
CREATE TABLE running (
    id           BLOB    NOT NULL PRIMARY KEY,
    job_key      INTEGER NOT NULL,
    tenant_id    TEXT    NOT NULL,
    queue        TEXT    NOT NULL,
    prio         INTEGER NOT NULL,
    cause        INTEGER NOT NULL,
    due          INTEGER NOT NULL,
    overlap      INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    released     INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    every_us     INTEGER,
    claim_id     BLOB,
    executor     BLOB,
    started_at   INTEGER NOT NULL,
    cancel       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- This index *is* the overlap rule `skip` (invariant I8).
CREATE UNIQUE INDEX running_overlap ON running (job_key) WHERE overlap <> 1;
CREATE INDEX running_job ON running (job_key) WHERE overlap = 1;
CREATE INDEX running_claim ON running (claim_id) WHERE claim_id IS NOT NULL;

-- One row for each batch that an executor claimed; its id is the token.
CREATE TABLE claim (
    id          BLOB    NOT NULL PRIMARY KEY,
    executor    BLOB    NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Completion reports, kept for the retention time. A terminal one is the record of its run. AUTOINCREMENT: a seq is
-- never used twice, not even after the newest rows were deleted.
CREATE TABLE report (
    seq             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              BLOB    NOT NULL,
    job_key         INTEGER NOT NULL,
    tenant_id       TEXT    NOT NULL,
    cause           INTEGER NOT NULL,
    due             INTEGER NOT NULL,
    attempt         INTEGER NOT NULL,
    outcome         INTEGER NOT NULL,
    next_attempt_at INTEGER,
    started_at      INTEGER,
    finished_at     INTEGER NOT NULL,
    executor        BLOB,
    error           TEXT,
    result          TEXT
) STRICT;
CREATE INDEX report_run ON report (job_key, id);

-- Executors as they last announced themselves; for people, nothing depends on it.
CREATE TABLE executor (
    id       BLOB    NOT NULL PRIMARY KEY,
    host     TEXT    NOT NULL,
    pid      INTEGER NOT NULL,
    version  TEXT    NOT NULL,
    slots    INTEGER NOT NULL,
    running  INTEGER NOT NULL,
    queues   TEXT    NOT NULL,
    draining INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
