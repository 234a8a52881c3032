-- Hooks: who is told what becomes of runs. Expands only.

-- Up to which report the hooks were told; no row before the first.
CREATE TABLE leasehold.hook_tail (
    one integer NOT NULL PRIMARY KEY CHECK (one = 1),
    seq bigint  NOT NULL
) WITH (fillfactor = 50);

-- A hook: `state` is what no message has yet and the message that is under way, as JSON (see common/src/hook/state.rs).
CREATE TABLE leasehold.hook (
    name         text COLLATE "C" NOT NULL PRIMARY KEY,
    state        text    NOT NULL,
    tries        integer NOT NULL,
    error        text,
    delivered_at bigint
) WITH (fillfactor = 50);

-- Jobs whose last run that ended well or badly was dead, as far as the hooks were told.
CREATE TABLE leasehold.hook_dead (
    job_key bigint NOT NULL PRIMARY KEY
);

-- What the roles may do with these tables is set up with all the rest.
ALTER FUNCTION leasehold.set_up_roles() RENAME TO set_up_roles_before_hooks;
CREATE FUNCTION leasehold.set_up_roles() RETURNS void LANGUAGE plpgsql AS $set_up$
DECLARE
    owner text;
    item  record;
BEGIN
    PERFORM leasehold.set_up_roles_before_hooks();
    IF to_regrole('leasehold_tenant') IS NULL OR to_regrole('leasehold_migrator') IS NULL THEN
        RETURN; -- it has said why
    END IF;
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace WHERE nspname = 'leasehold';

    GRANT SELECT, INSERT, UPDATE, DELETE ON leasehold.hook TO leasehold_scheduler;
    GRANT SELECT, INSERT, UPDATE ON leasehold.hook_tail TO leasehold_scheduler;
    GRANT SELECT, INSERT, DELETE ON leasehold.hook_dead TO leasehold_scheduler;
    GRANT SELECT ON leasehold.hook, leasehold.hook_tail, leasehold.hook_dead TO leasehold_viewer;

    -- Nobody acts on these for one tenant.
    FOR item IN SELECT c.oid, c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced FROM pg_class AS c
                WHERE c.oid = 'leasehold.hook_dead'::regclass LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = item.oid AND polname = 'batch') THEN
            EXECUTE format('CREATE POLICY batch ON leasehold.%I TO leasehold_migrator, leasehold_scheduler, '
                'leasehold_viewer USING (true) WITH CHECK (true)', item.name);
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
