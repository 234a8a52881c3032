-- Runs that their endpoint reports later, and what runs say while they run. Expands only: the version before works on
-- with it, and rescues a run that an endpoint keeps open as if its executor were lost.

-- The attempt that an endpoint may report, by the hash of its token. `claim_id` is what holds the run: the claim of the
-- executor that sends the request, and, once the endpoint has taken the run over, one of its own, held by nobody (the nil
-- id). From then on `within_us` is how long the endpoint may be silent, `until` when it must have reported at the latest,
-- and `retry_us` how long the next attempt waits if it does not (null: there is none).
CREATE TABLE callback (
    id         BLOB    NOT NULL PRIMARY KEY,
    tenant_id  TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    claim_id   BLOB    NOT NULL,
    token_hash BLOB    NOT NULL,
    within_us  INTEGER,
    until      INTEGER,
    retry_us   INTEGER
) STRICT, WITHOUT ROWID;

-- What an attempt said of itself last. A run that says nothing has no row.
CREATE TABLE progress (
    id        BLOB    NOT NULL PRIMARY KEY,
    tenant_id TEXT    NOT NULL,
    attempt   INTEGER NOT NULL,
    percent   INTEGER,
    message   TEXT,
    log       TEXT,
    at        INTEGER NOT NULL
) STRICT;
