-- Runs that their endpoint reports later, and what runs say while they run. Expands only: the version before works on
-- with it, and rescues a run that an endpoint keeps open as if its executor were lost.

-- The attempt that an endpoint may report, by the hash of its token. `claim_id` is what holds the run: the claim of the
-- executor that sends the request, and, once the endpoint has taken the run over, one of its own, held by nobody (the nil
-- id). From then on `within_us` is how long the endpoint may be silent, `until` when it must have reported at the latest,
-- and `retry_us` how long the next attempt waits if it does not (null: there is none).
CREATE TABLE leasehold.callback (
    id         uuid    NOT NULL PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    attempt    integer NOT NULL,
    claim_id   uuid    NOT NULL,
    token_hash bytea   NOT NULL,
    within_us  bigint,
    until      bigint,
    retry_us   bigint
);

-- What an attempt said of itself last. A run that says nothing has no row.
CREATE TABLE leasehold.progress (
    id        uuid     NOT NULL PRIMARY KEY,
    tenant_id text COLLATE "C" NOT NULL,
    attempt   integer  NOT NULL,
    percent   smallint,
    message   text,
    log       text,
    at        bigint   NOT NULL
) WITH (fillfactor = 50);

-- What the roles may do with these tables is set up with all the rest.
ALTER FUNCTION leasehold.set_up_roles() RENAME TO set_up_roles_before_callbacks;
CREATE FUNCTION leasehold.set_up_roles() RETURNS void LANGUAGE plpgsql AS $set_up$
DECLARE
    owner text;
    item  record;
    mine  constant text := $$tenant_id = nullif(current_setting('leasehold.tenant', true), '')$$;
BEGIN
    PERFORM leasehold.set_up_roles_before_callbacks();
    IF to_regrole('leasehold_tenant') IS NULL OR to_regrole('leasehold_migrator') IS NULL THEN
        RETURN; -- it has said why
    END IF;
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace WHERE nspname = 'leasehold';

    -- What a migration has made since the schema was given away goes the same way.
    BEGIN
        FOR item IN SELECT relname AS name FROM pg_class WHERE relnamespace = 'leasehold'::regnamespace
                    AND relkind IN ('r', 'p') AND pg_get_userbyid(relowner) <> owner LOOP
            EXECUTE format('ALTER TABLE leasehold.%I OWNER TO %I', item.name, owner);
        END LOOP;
        FOR item IN SELECT oid::regprocedure AS name FROM pg_proc WHERE pronamespace = 'leasehold'::regnamespace
                    AND pg_get_userbyid(proowner) <> owner LOOP
            EXECUTE format('ALTER FUNCTION %s OWNER TO %I', item.name, owner);
        END LOOP;
    EXCEPTION
        WHEN insufficient_privilege THEN
            RAISE NOTICE 'leasehold: % may not give new tables to %: %', current_user, owner, SQLERRM;
    END;

    GRANT SELECT, UPDATE, DELETE ON leasehold.callback TO leasehold_scheduler;
    GRANT SELECT, INSERT, UPDATE, DELETE ON leasehold.progress TO leasehold_scheduler;
    GRANT SELECT, INSERT, UPDATE ON leasehold.callback, leasehold.progress TO leasehold_executor;
    -- Not the hash of the token: whoever looks has no use for it.
    GRANT SELECT (id, tenant_id, attempt, claim_id, within_us, until, retry_us) ON leasehold.callback
        TO leasehold_viewer, leasehold_tenant;
    GRANT SELECT ON leasehold.progress TO leasehold_viewer, leasehold_tenant;

    FOR item IN SELECT c.oid, c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced FROM pg_class AS c
                WHERE c.oid IN ('leasehold.callback'::regclass, 'leasehold.progress'::regclass) LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = item.oid AND polname = 'batch') THEN
            EXECUTE format('CREATE POLICY batch ON leasehold.%I TO leasehold_migrator, leasehold_scheduler, '
                'leasehold_executor, leasehold_viewer USING (true) WITH CHECK (true)', item.name);
            EXECUTE format('CREATE POLICY tenant ON leasehold.%I TO leasehold_tenant USING (%s) WITH CHECK (false)',
                item.name, mine);
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
