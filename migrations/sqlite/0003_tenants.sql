-- Tenants: where they come from, fair shares, limits, and features that jobs require. Expands only: the version before
-- works on with it, but knows no limits: they hold once every executor is of this version.

-- `source` names the roster source of a tenant (empty: the config file), `roster_row` is what it said, as JSON.
ALTER TABLE tenant ADD COLUMN weight     INTEGER NOT NULL DEFAULT 1;
ALTER TABLE tenant ADD COLUMN source     TEXT    NOT NULL DEFAULT '';
ALTER TABLE tenant ADD COLUMN roster_row TEXT;

-- `gated`: the tenant lacks a feature that the job requires. `gates`: what its runs pass, a JSON list in the order of
-- their ids; none is null.
ALTER TABLE job ADD COLUMN gated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN gates TEXT;

-- One row a limit. `lim` runs at once, of which `in_use` are; `starts` starts in any `per_us`, of which `recent` tells
-- the latest, a JSON list of [when, how many], the oldest first. Null: not limited. `wake_at`: when items that wait for a
-- start may be let go.
CREATE TABLE gate (
    id      INTEGER NOT NULL PRIMARY KEY,
    lim     INTEGER,
    in_use  INTEGER NOT NULL DEFAULT 0,
    starts  INTEGER,
    per_us  INTEGER,
    recent  TEXT    NOT NULL DEFAULT '[]',
    wake_at INTEGER
) STRICT;
CREATE INDEX gate_wake ON gate (wake_at) WHERE wake_at IS NOT NULL;

-- The order of a line is virtual time. `v`: how far the lane was served; while its line is empty, no less than the
-- clock's time, so that the places of the version before fit in. `est`: the mean run time in it, 0: not known yet.
CREATE TABLE lane (
    queue TEXT    NOT NULL,
    prio  INTEGER NOT NULL,
    v     INTEGER NOT NULL,
    est   INTEGER NOT NULL,
    PRIMARY KEY (queue, prio)
) STRICT, WITHOUT ROWID;

-- A tenant in a lane. `f`: where its last place ends, corrected by what its runs really took. `est`: the mean run time
-- of its runs there, which is a guess until it is `measured`. The last dealing gave it `dealt` places, from `base` to
-- `tail`: it stays behind `tail` while that is not served, so that its own items keep their order. `cost`: what the
-- places of its waiting items were dealt with, more or less; 0 if with this and that.
CREATE TABLE share (
    queue     TEXT    NOT NULL,
    prio      INTEGER NOT NULL,
    tenant_id TEXT    NOT NULL,
    f         INTEGER NOT NULL,
    base      INTEGER NOT NULL,
    tail      INTEGER NOT NULL,
    est       INTEGER NOT NULL,
    measured  INTEGER NOT NULL DEFAULT 0,
    cost      INTEGER NOT NULL,
    weight    INTEGER NOT NULL,
    dealt     INTEGER NOT NULL,
    PRIMARY KEY (queue, prio, tenant_id)
) STRICT, WITHOUT ROWID;

-- `cost`: the run time that its place was dealt with. An item that waits for room under a limit has the gate in
-- `gate_id`, stands in no queue (the empty one), and has its own in `home`: claims never see it.
ALTER TABLE ready ADD COLUMN cost    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE ready ADD COLUMN gate_id INTEGER;
ALTER TABLE ready ADD COLUMN home    TEXT;
CREATE INDEX ready_limited ON ready (gate_id, prio, tag) WHERE gate_id IS NOT NULL;
CREATE INDEX ready_limited_expires ON ready (expires_at) WHERE gate_id IS NOT NULL AND expires_at IS NOT NULL;
CREATE INDEX ready_limited_misfires ON ready (misfire_at) WHERE gate_id IS NOT NULL AND misfire_at IS NOT NULL;

-- The gates that a run holds while it is claimed, a JSON list.
ALTER TABLE running ADD COLUMN gates TEXT;
