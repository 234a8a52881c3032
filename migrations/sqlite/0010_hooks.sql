-- Hooks: who is told what becomes of runs. Expands only.

-- Up to which report the hooks were told; no row before the first.
CREATE TABLE hook_tail (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
) STRICT;

-- A hook: `state` is what no message has yet and the message that is under way, as JSON (see common/src/hook/state.rs).
CREATE TABLE hook (
    name         TEXT    NOT NULL PRIMARY KEY,
    state        TEXT    NOT NULL,
    tries        INTEGER NOT NULL,
    error        TEXT,
    delivered_at INTEGER
) STRICT;

-- Jobs whose last run that ended well or badly was dead, as far as the hooks were told.
CREATE TABLE hook_dead (
    job_key INTEGER NOT NULL PRIMARY KEY
) STRICT;
