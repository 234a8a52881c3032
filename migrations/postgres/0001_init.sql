-- The first schema. All instants and spans are bigint microseconds (since 1970, UTC), as on every other store.
-- ARCHITECTURE.md tells the tables.

-- The one place from which statements take the time. `now_us` stands still within a statement, so it can bound an
-- index scan; `clock_us` moves on, for values that are written after a lock was waited for. Tests replace both.
CREATE FUNCTION leasehold.now_us() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint $$;

CREATE FUNCTION leasehold.clock_us() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- Reports become visible in the order of their seq: whoever writes some takes this lock last, before it draws the
-- first number, and holds it until it commits. A reader that follows seq then never misses one, and waits for nobody.
-- An advisory lock and a sequence leave no dead rows behind, however long some other transaction stays open.
CREATE FUNCTION leasehold.order_reports() RETURNS void LANGUAGE sql VOLATILE
AS $$ SELECT pg_advisory_xact_lock(5499527226283451760) $$;

-- Who leads. The epoch only ever grows; a term is (holder, epoch). Because of UNIQUE (name, epoch), a takeover
-- conflicts with the FOR KEY SHARE of a leader's write, and a renewal does not.
CREATE TABLE leasehold.lease (
    name       text   NOT NULL PRIMARY KEY,
    kind       text   NOT NULL,
    epoch      bigint NOT NULL,
    holder     uuid,
    host       text   NOT NULL DEFAULT '',
    pid        integer NOT NULL DEFAULT 0,
    elected_at bigint NOT NULL DEFAULT 0,
    expires_at bigint NOT NULL DEFAULT 0,
    UNIQUE (name, epoch)
) WITH (fillfactor = 50);

-- The catalog's revision: whoever changes the catalog compares and sets it.
CREATE TABLE leasehold.catalog (
    one      integer NOT NULL PRIMARY KEY CHECK (one = 1),
    revision bigint  NOT NULL
);
INSERT INTO leasehold.catalog (one, revision) VALUES (1, 0);

CREATE TABLE leasehold.tenant (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    attributes text    NOT NULL,
    revision   bigint  NOT NULL,
    active     boolean NOT NULL
);

-- What jobs are, by content hash.
CREATE TABLE leasehold.definition (
    id   uuid NOT NULL PRIMARY KEY,
    body text NOT NULL
);

-- One row for each (tenant, job). A removed job keeps its row for the sake of its history. `since` is the version
-- from which its schedule is what it is now: queued items of older versions are void.
CREATE TABLE leasehold.job (
    key           bigint   NOT NULL PRIMARY KEY,
    tenant_id     text COLLATE "C" NOT NULL,
    name          text COLLATE "C" NOT NULL,
    active        boolean  NOT NULL,
    version       integer  NOT NULL,
    since         integer  NOT NULL,
    definition_id uuid     NOT NULL,
    queue         text     NOT NULL,
    prio          smallint NOT NULL,
    overlap       smallint NOT NULL,
    max_attempts  integer  NOT NULL,
    every_us      bigint,
    next_due      bigint,
    last_fired    bigint,
    UNIQUE (tenant_id, name)
) WITH (fillfactor = 80);
-- A herd comes grouped by tenant.
CREATE INDEX job_due ON leasehold.job (next_due, tenant_id) WHERE next_due IS NOT NULL;

-- Removed jobs, for the pruner.
CREATE INDEX job_gone ON leasehold.job (key) WHERE NOT active;

-- Which definition was in force when.
CREATE TABLE leasehold.job_version (
    job_key       bigint  NOT NULL,
    version       integer NOT NULL,
    definition_id uuid    NOT NULL,
    valid_from    bigint  NOT NULL,
    valid_to      bigint,
    PRIMARY KEY (job_key, version)
);

-- A run is in one of ahead (not yet due), ready (due) and running (claimed once and not over). A run that waits for
-- its retry is in `running` without a claim, and in `ahead` or `ready` too.
CREATE TABLE leasehold.ahead (
    job_key      bigint   NOT NULL,
    id           uuid     NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    queue        text     NOT NULL,
    prio         smallint NOT NULL,
    tag          bigint   NOT NULL,
    cause        smallint NOT NULL,
    due          bigint   NOT NULL,
    not_before   bigint   NOT NULL,
    overlap      smallint NOT NULL,
    attempt      integer  NOT NULL,
    released     integer  NOT NULL,
    max_attempts integer  NOT NULL,
    version      integer  NOT NULL,
    every_us     bigint,
    PRIMARY KEY (job_key, id)
);
CREATE INDEX ahead_not_before ON leasehold.ahead (not_before);

-- `tag` is the place in line within a priority.
CREATE TABLE leasehold.ready (LIKE leasehold.ahead INCLUDING DEFAULTS, PRIMARY KEY (job_key, id));
CREATE INDEX ready_line ON leasehold.ready (queue, prio, tag);

-- `every_us` is the interval token: the end of this run sets the job's next due time. A run that has not started has it
-- in `ahead` or `ready`; from the first attempt on it is here, and only here.
CREATE TABLE leasehold.running (
    id           uuid     NOT NULL PRIMARY KEY,
    job_key      bigint   NOT NULL,
    tenant_id    text COLLATE "C" NOT NULL,
    queue        text     NOT NULL,
    prio         smallint NOT NULL,
    cause        smallint NOT NULL,
    due          bigint   NOT NULL,
    overlap      smallint NOT NULL,
    attempt      integer  NOT NULL,
    released     integer  NOT NULL,
    max_attempts integer  NOT NULL,
    version      integer  NOT NULL,
    every_us     bigint,
    claim_id     uuid,
    executor     uuid,
    started_at   bigint   NOT NULL,
    cancel       boolean  NOT NULL DEFAULT false
);
-- This index *is* the overlap rule `skip` (invariant I8).
CREATE UNIQUE INDEX running_overlap ON leasehold.running (job_key) WHERE overlap <> 1;
CREATE INDEX running_job ON leasehold.running (job_key) WHERE overlap = 1;
CREATE INDEX running_claim ON leasehold.running (claim_id) WHERE claim_id IS NOT NULL;

-- One row for each batch that an executor claimed; its id is the token. `lease_until` has no index, so that
-- extending a claim is a HOT update.
CREATE TABLE leasehold.claim (
    id          uuid   NOT NULL PRIMARY KEY,
    executor    uuid   NOT NULL,
    lease_until bigint NOT NULL
) WITH (fillfactor = 50);

-- Completion reports, kept for the retention time. A terminal one is the record of its run.
CREATE TABLE leasehold.report (
    seq             bigint   GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id              uuid     NOT NULL,
    job_key         bigint   NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    cause           smallint NOT NULL,
    due             bigint   NOT NULL,
    attempt         integer  NOT NULL,
    outcome         smallint NOT NULL,
    next_attempt_at bigint,
    started_at      bigint,
    finished_at     bigint   NOT NULL,
    executor        uuid,
    error           text,
    result          text
);
CREATE INDEX report_run ON leasehold.report (job_key, id);

-- Executors as they last announced themselves; for people, nothing depends on it.
CREATE TABLE leasehold.executor (
    id       uuid    NOT NULL PRIMARY KEY,
    host     text    NOT NULL,
    pid      integer NOT NULL,
    version  text    NOT NULL,
    slots    integer NOT NULL,
    running  integer NOT NULL,
    queues   text    NOT NULL,
    draining boolean NOT NULL,
    seen_at  bigint  NOT NULL
) WITH (fillfactor = 50);

-- Rows of these tables live for seconds. Vacuum early, by count and not by share, and never in small sips.
ALTER TABLE leasehold.ahead   SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE leasehold.ready   SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE leasehold.running SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE leasehold.claim   SET (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000,  autovacuum_vacuum_cost_delay = 0);
