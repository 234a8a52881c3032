-- One-off runs with a payload of their own, and what runs do once. Expands only: the version before works on with it, but
-- cannot read the cause of such a run: enqueue once every executor is of this version.

-- A run that was enqueued, for as long as it is known: while it is in the queue, and then as long as reports are kept. An
-- executor reads the row for such runs only. `payload` null: the job's own. `dedup` makes two requests one.
CREATE TABLE leasehold.enqueued (
    job_key   bigint NOT NULL,
    id        uuid   NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    dedup     text COLLATE "C",
    payload   text,
    at        bigint NOT NULL,
    PRIMARY KEY (job_key, id)
);
CREATE UNIQUE INDEX enqueued_dedup ON leasehold.enqueued (job_key, dedup) WHERE dedup IS NOT NULL;
CREATE INDEX enqueued_at ON leasehold.enqueued (at);

-- What runs of a job do once. `scope`: the run, or what the handler says. (run_id, attempt) began it last; it is done since
-- `done_at`.
CREATE TABLE leasehold.once (
    job_key   bigint  NOT NULL,
    scope     text COLLATE "C" NOT NULL,
    name      text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    run_id    uuid    NOT NULL,
    attempt   integer NOT NULL,
    begun_at  bigint  NOT NULL,
    done_at   bigint,
    result    text,
    PRIMARY KEY (job_key, scope, name)
);
CREATE INDEX once_begun ON leasehold.once (begun_at);

-- Makes a run of a job within the caller's transaction: it is there when that commits, and never was if it does not. What
-- options may say: at (an instant with its offset) or delay, key, priority, expires.
--
-- It only inserts, into tables where nobody else waits for these rows: a transaction of the caller's that stays open for
-- long holds nobody up, but one that enqueues the same key. That one waits until it is known whether there is a run.
--
-- The id is drawn as `RunKind::enqueued` says: its kind is 2048 to 4094, so that it meets no trigger. If it is taken, the
-- next one is a millisecond later: ten thousand runs of a job may be due at one instant.
--
-- With the rights of its owner and a fixed search path, so that a login needs no other right than to call it. Who acts for
-- a tenant (the setting `leasehold.tenant`) enqueues for no other.
CREATE FUNCTION leasehold.enqueue(tenant text, job text, payload jsonb DEFAULT NULL, options jsonb DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $enqueue$
DECLARE
    mine     constant text := nullif(current_setting('leasehold.tenant', true), '');
    now      constant bigint := leasehold.clock_us();
    given    constant jsonb := coalesce(nullif(options, 'null'::jsonb), '{}'::jsonb);
    body     constant text := payload::text;
    j        record;
    option   text;
    due      bigint := now;
    expires  bigint;
    lane     smallint;
    same_as  text;
    made     uuid;
    found_id uuid;
BEGIN
    IF mine <> tenant THEN
        RAISE insufficient_privilege USING MESSAGE = format('this session acts for tenant %s and not for %s', mine, tenant);
    END IF;
    IF jsonb_typeof(given) <> 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'options must be a JSON object, as in {"key": "order-17"}';
    END IF;
    IF octet_length(body) > 262144 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a payload has at most 262144 bytes, this one has %s', octet_length(body));
    END IF;
    FOR option IN SELECT jsonb_object_keys(given) LOOP
        IF option NOT IN ('at', 'delay', 'key', 'priority', 'expires') THEN
            RAISE invalid_parameter_value USING MESSAGE = format('there is no option %L', option),
                HINT = 'options are at, delay, key, priority and expires';
        END IF;
    END LOOP;
    same_as := given ->> 'key';
    IF given ? 'key' AND (jsonb_typeof(given -> 'key') <> 'string' OR length(same_as) NOT BETWEEN 1 AND 255) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'key must be a text of 1 to 255 characters';
    END IF;
    IF given ? 'at' AND given ? 'delay' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'at and delay say the same: give one of them';
    END IF;
    BEGIN
        IF given ? 'at' THEN
            IF given ->> 'at' !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d(:?\d\d)?)$' THEN
                RAISE invalid_datetime_format;
            END IF;
            due := greatest(now, (extract(epoch FROM (given ->> 'at')::timestamptz) * 1000000)::bigint);
        ELSIF given ? 'delay' THEN
            due := now + (extract(epoch FROM (given ->> 'delay')::interval) * 1000000)::bigint;
        END IF;
        IF given ? 'expires' THEN
            expires := due + (extract(epoch FROM (given ->> 'expires')::interval) * 1000000)::bigint;
        END IF;
        lane := (given ->> 'priority')::smallint;
    EXCEPTION WHEN data_exception THEN
        RAISE invalid_parameter_value USING MESSAGE = format('an option is malformed: %s', given - 'key'),
            HINT = 'at is an instant with its offset, as in "2026-11-21T02:00:00Z"; delay and expires are spans of time, as '
                'in "90s" or "2 hours"; priority is a number from -32768 to 32767';
    END;
    IF due < now OR due > now + 315576000000000 OR expires <= due THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'delay must not be below zero, expires must be above it, and a run is due within ten years';
    END IF;

    SELECT k.key, k.queue, k.prio, k.overlap, k.max_attempts, k.version INTO j FROM leasehold.job AS k
    WHERE k.tenant_id = tenant AND k.name = job AND k.active;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('tenant %s has no job %s', tenant, job);
    END IF;
    LOOP
        made := (lpad(to_hex(due / 1000), 12, '0') || '8' || lpad(to_hex(2048 + floor(random() * 2047)::integer), 3, '0')
                 || to_hex(j.key | (-9223372036854775808)))::uuid;
        INSERT INTO leasehold.enqueued (job_key, id, tenant_id, dedup, payload, at)
        VALUES (j.key, made, tenant, same_as, body, now) ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        IF same_as IS NOT NULL THEN
            SELECT e.id INTO found_id FROM leasehold.enqueued AS e WHERE e.job_key = j.key AND e.dedup = same_as;
            IF FOUND THEN
                RETURN found_id;
            END IF;
        END IF;
        due := due + 1000;
    END LOOP;
    INSERT INTO leasehold.ahead (job_key, id, tenant_id, queue, prio, tag, cause, due, not_before, overlap, attempt, released,
                                 max_attempts, version, every_us, catch_up, expires_at)
    VALUES (j.key, made, tenant, j.queue, coalesce(lane, j.prio), due, 3, due, due, j.overlap, 0, 0, j.max_attempts,
            j.version, NULL, 2, expires);
    -- Executors know of what is further away in time. One transaction sends it once, however often it stands here.
    IF due < now + 2000000 THEN
        PERFORM pg_notify('leasehold_work', '');
    END IF;
    RETURN made;
END $enqueue$;
REVOKE ALL ON FUNCTION leasehold.enqueue(text, text, jsonb, jsonb) FROM PUBLIC;

-- What the roles may do with these tables is set up with all the rest. A role more: leasehold_enqueuer may enqueue, and
-- nothing else.
ALTER FUNCTION leasehold.set_up_roles() RENAME TO set_up_roles_before_enqueue;
CREATE FUNCTION leasehold.set_up_roles() RETURNS void LANGUAGE plpgsql AS $set_up$
DECLARE
    owner text;
    item  record;
    mine  constant text := $$tenant_id = nullif(current_setting('leasehold.tenant', true), '')$$;
BEGIN
    PERFORM leasehold.set_up_roles_before_enqueue();
    IF to_regrole('leasehold_tenant') IS NULL OR to_regrole('leasehold_migrator') IS NULL THEN
        RETURN; -- it has said why
    END IF;
    IF to_regrole('leasehold_enqueuer') IS NULL THEN
        BEGIN
            CREATE ROLE leasehold_enqueuer NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration made it just now
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'leasehold: % may not create the role leasehold_enqueuer. Let an administrator create it, and '
                    'then call leasehold.set_up_roles()', current_user;
        END;
    END IF;

    -- The function has the rights of its owner: it must be the schema's, and no administrator who happened to migrate.
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace WHERE nspname = 'leasehold';
    FOR item IN SELECT 'TABLE' AS kind, oid::regclass::text AS name FROM pg_class
                WHERE relnamespace = 'leasehold'::regnamespace AND relkind IN ('r', 'p')
                    AND pg_get_userbyid(relowner) <> owner
                UNION ALL
                SELECT 'FUNCTION', oid::regprocedure::text FROM pg_proc
                WHERE pronamespace = 'leasehold'::regnamespace AND pg_get_userbyid(proowner) <> owner LOOP
        EXECUTE format('ALTER %s %s OWNER TO %I', item.kind, item.name, owner);
    END LOOP;

    GRANT SELECT, DELETE ON leasehold.enqueued, leasehold.once TO leasehold_scheduler;
    -- A run that is made in the place of a dead one takes its payload over.
    GRANT INSERT ON leasehold.enqueued TO leasehold_scheduler, leasehold_tenant;
    GRANT SELECT (payload) ON leasehold.enqueued TO leasehold_tenant;
    GRANT SELECT ON leasehold.enqueued TO leasehold_executor;
    GRANT SELECT, INSERT, UPDATE ON leasehold.once TO leasehold_executor;
    -- Not what was handed over, nor what came of it.
    GRANT SELECT (job_key, id, tenant_id, dedup, at) ON leasehold.enqueued TO leasehold_viewer, leasehold_tenant;
    GRANT SELECT (job_key, scope, name, tenant_id, run_id, attempt, begun_at, done_at) ON leasehold.once
        TO leasehold_viewer, leasehold_tenant;
    GRANT EXECUTE ON FUNCTION leasehold.enqueue(text, text, jsonb, jsonb) TO leasehold_scheduler, leasehold_tenant;
    IF to_regrole('leasehold_enqueuer') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA leasehold TO leasehold_enqueuer;
        GRANT EXECUTE ON FUNCTION leasehold.enqueue(text, text, jsonb, jsonb) TO leasehold_enqueuer;
    END IF;

    FOR item IN SELECT c.oid, c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced FROM pg_class AS c
                WHERE c.oid IN ('leasehold.enqueued'::regclass, 'leasehold.once'::regclass) LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = item.oid AND polname = 'batch') THEN
            EXECUTE format('CREATE POLICY batch ON leasehold.%I TO leasehold_migrator, leasehold_scheduler, '
                'leasehold_executor, leasehold_viewer USING (true) WITH CHECK (true)', item.name);
            EXECUTE format('CREATE POLICY tenant ON leasehold.%I TO leasehold_tenant USING (%s) WITH CHECK (%s)',
                item.name, mine, CASE item.name WHEN 'enqueued' THEN format('%s AND EXISTS (SELECT 1 FROM leasehold.job AS j '
                    'WHERE j.key = job_key)', mine) ELSE 'false' END);
        END IF;
        IF owner <> 'leasehold_migrator'
            AND NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = item.oid AND polname = owner) THEN
            EXECUTE format('CREATE POLICY %I ON leasehold.%I TO %1$I USING (true) WITH CHECK (true)', owner, item.name);
        END IF;
        IF NOT item.forced THEN
            EXECUTE format('ALTER TABLE leasehold.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', item.name);
        END IF;
    END LOOP;
END $set_up$;
REVOKE ALL ON FUNCTION leasehold.set_up_roles() FROM PUBLIC;

SELECT leasehold.set_up_roles();
