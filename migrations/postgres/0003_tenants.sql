-- Tenants: where they come from, fair shares, limits, and features that jobs require. Expands only: the version before
-- works on with it, but knows no limits: they hold once every executor is of this version.

-- `source` names the roster source of a tenant (empty: the config file), `roster_row` is what it said, as JSON.
ALTER TABLE leasehold.tenant
    ADD COLUMN weight     integer NOT NULL DEFAULT 1,
    ADD COLUMN source     text    NOT NULL DEFAULT '',
    ADD COLUMN roster_row text;

-- `gated`: the tenant lacks a feature that the job requires. `gates`: what its runs pass, in the order of their ids.
ALTER TABLE leasehold.job
    ADD COLUMN gated boolean NOT NULL DEFAULT false,
    ADD COLUMN gates bigint[];

-- Gates as a plan writes them, `[1,2]`, as an array; none is null.
CREATE FUNCTION leasehold.gates(ids text) RETURNS bigint[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT nullif(('{' || btrim(ids, '[]') || '}')::bigint[], '{}') $$;

-- One row a limit. `lim` runs at once, of which `in_use` are; `starts` starts in any `per_us`, of which `recent_n[i]`
-- were at or before `recent_at[i]`, the oldest first. Null: not limited. `wake_at`: when items that wait for a start may
-- be let go.
CREATE TABLE leasehold.gate (
    id        bigint    NOT NULL PRIMARY KEY,
    lim       integer,
    in_use    integer   NOT NULL DEFAULT 0,
    starts    integer,
    per_us    bigint,
    recent_at bigint[]  NOT NULL DEFAULT '{}',
    recent_n  integer[] NOT NULL DEFAULT '{}',
    wake_at   bigint
) WITH (fillfactor = 50);
CREATE INDEX gate_wake ON leasehold.gate (wake_at) WHERE wake_at IS NOT NULL;

-- How many more may pass a gate now; null: any number. Whoever acts on the answer has locked the gate.
CREATE FUNCTION leasehold.room(lim integer, in_use integer, starts integer, per_us bigint, recent_at bigint[],
                               recent_n integer[], now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT least(lim - in_use, starts - (
    SELECT coalesce(sum(r.n), 0) FROM unnest(recent_at, recent_n) AS r(at, n) WHERE r.at > now - per_us)) $$;

-- When the next start leaves the window of a gate's rate; null: none is in it.
CREATE FUNCTION leasehold.next_start(per_us bigint, recent_at bigint[], now bigint)
RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT min(r.at) + per_us FROM unnest(recent_at) AS r(at) WHERE r.at > now - per_us $$;

-- The order of a line is virtual time. `v`: how far the lane was served; while its line is empty, no less than the
-- clock's time, so that the places of the version before fit in. `est`: the mean run time in it, 0: not known yet.
CREATE TABLE leasehold.lane (
    queue text     NOT NULL,
    prio  smallint NOT NULL,
    v     bigint   NOT NULL,
    est   bigint   NOT NULL,
    PRIMARY KEY (queue, prio)
) WITH (fillfactor = 50);

-- A tenant in a lane. `f`: where its last place ends, corrected by what its runs really took. `est`: the mean run time
-- of its runs there, 0: not known yet. The last dealing gave it `dealt` places of `cost / weight` each, from `base` to
-- `tail`: it stays behind `tail` while that is not served, so that its own items keep their order.
CREATE TABLE leasehold.share (
    queue     text     NOT NULL,
    prio      smallint NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    f         bigint   NOT NULL,
    base      bigint   NOT NULL,
    tail      bigint   NOT NULL,
    est       bigint   NOT NULL,
    cost      bigint   NOT NULL,
    weight    integer  NOT NULL,
    dealt     integer  NOT NULL,
    PRIMARY KEY (queue, prio, tenant_id)
) WITH (fillfactor = 50);

-- From one place of a tenant to its next.
CREATE FUNCTION leasehold.step(cost bigint, weight integer) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT greatest(cost / weight, 1) $$;

-- `cost`: the run time that its place was dealt with. An item that waits for room under a limit has the gate in
-- `gate_id`, stands in no queue (the empty one), and has its own in `home`: claims never see it.
ALTER TABLE leasehold.ready
    ADD COLUMN cost    bigint NOT NULL DEFAULT 0,
    ADD COLUMN gate_id bigint,
    ADD COLUMN home    text;
CREATE INDEX ready_limited ON leasehold.ready (gate_id, prio, tag) WHERE gate_id IS NOT NULL;

-- The gates that a claimed run holds.
ALTER TABLE leasehold.running ADD COLUMN gates bigint[];
