-- The live roster: the config in force, from which the leader keeps tenants and jobs up to date, and how the sources
-- stand. Expands only: the version before works on with it.

-- The config that was applied last, as JSON. `revision` is the catalog's by which it was written, `at` the instant for
-- which it was planned. `latest` is the catalog's revision that this version wrote last: if the catalog has another one,
-- the version before has written it, and this config is in force no longer.
CREATE TABLE leasehold.config (
    one      integer NOT NULL PRIMARY KEY CHECK (one = 1),
    revision bigint  NOT NULL,
    at       bigint  NOT NULL,
    latest   bigint  NOT NULL,
    hash     text    NOT NULL,
    body     text    NOT NULL
);

-- `asked` counts the requests to ask the sources, `done` is up to where they were answered; up to `drop_allowed` any
-- share of the tenants of a source may go. `pass_config` and `pass_at`: the config and the instant for which all tenants
-- were last gone through.
CREATE TABLE leasehold.roster (
    one          integer NOT NULL PRIMARY KEY CHECK (one = 1),
    asked        bigint  NOT NULL,
    drop_allowed bigint  NOT NULL,
    done         bigint  NOT NULL,
    pass_config  bigint,
    pass_at      bigint
) WITH (fillfactor = 50);
INSERT INTO leasehold.roster (one, asked, drop_allowed, done) VALUES (1, 0, 0, 0);

-- What came of asking a source. `refused` counts all, `refusals` has the first of them as JSON; so is `held`, if the
-- answer was not believed.
CREATE TABLE leasehold.roster_source (
    name     text COLLATE "C" NOT NULL PRIMARY KEY,
    place    integer NOT NULL,
    asked_at bigint,
    good_at  bigint,
    tenants  bigint  NOT NULL,
    refused  bigint  NOT NULL,
    refusals text    NOT NULL,
    error    text,
    held     text
) WITH (fillfactor = 50);
