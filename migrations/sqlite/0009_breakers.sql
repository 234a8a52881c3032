-- Circuit breakers of endpoints, and what executors can do. Expands only: the version before works on with it, but takes
-- what it cannot run, and does not see what waits for an executor that can.

-- What it can do beside `http` and `sql`, as a JSON list; null: it is of the version before.
ALTER TABLE executor ADD COLUMN abilities TEXT;

-- One row for each endpoint that is down. Its gate lets nobody through, and, once `probing`, one run at a time. `times`:
-- how often it has opened since it was closed.
CREATE TABLE breaker (
    endpoint  TEXT    NOT NULL PRIMARY KEY,
    gate_id   INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    retry_at  INTEGER NOT NULL,
    times     INTEGER NOT NULL,
    probing   INTEGER NOT NULL,
    error     TEXT    NOT NULL,
    executor  BLOB    NOT NULL
) STRICT;
