-- The live roster: the config in force, from which the leader keeps tenants and jobs up to date, and how the sources
-- stand. Expands only: the version before works on with it.

-- The config that was applied last, as JSON. `revision` is the catalog's by which it was written, `at` the instant for
-- which it was planned. `latest` is the catalog's revision that this version wrote last: if the catalog has another one,
-- the version before has written it, and this config is in force no longer.
CREATE TABLE config (
    one      INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    revision INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    latest   INTEGER NOT NULL,
    hash     TEXT    NOT NULL,
    body     TEXT    NOT NULL
) STRICT;

-- `asked` counts the requests to ask the sources, `done` is up to where they were answered; up to `drop_allowed` any
-- share of the tenants of a source may go. `pass_config` and `pass_at`: the config and the instant for which all tenants
-- were last gone through.
CREATE TABLE roster (
    one          INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    asked        INTEGER NOT NULL,
    drop_allowed INTEGER NOT NULL,
    done         INTEGER NOT NULL,
    pass_config  INTEGER,
    pass_at      INTEGER
) STRICT;
INSERT INTO roster (one, asked, drop_allowed, done) VALUES (1, 0, 0, 0);

-- What came of asking a source. `refused` counts all, `refusals` has the first of them as JSON; so is `held`, if the
-- answer was not believed.
CREATE TABLE roster_source (
    name     TEXT    NOT NULL PRIMARY KEY,
    place    INTEGER NOT NULL,
    asked_at INTEGER,
    good_at  INTEGER,
    tenants  INTEGER NOT NULL,
    refused  INTEGER NOT NULL,
    refusals TEXT    NOT NULL,
    error    TEXT,
    held     TEXT
) STRICT;
