-- Roles, and row-level security: a statement that acts for one tenant touches only its rows (invariant I14). Expands
-- only: whoever owned the schema goes on as before. docs/how-to/postgres-roles.md tells how they are used.
--
-- The roles are groups without a login, the same for all databases of a server:
--   leasehold_migrator   owns the schema, if whoever migrates may give it away
--   leasehold_scheduler  what the leader and the operator's command do, for all tenants
--   leasehold_executor   what executors do, for all tenants
--   leasehold_viewer     reads
--   leasehold_tenant     what is done for one tenant: the one in the setting `leasehold.tenant`. Logins of schedulers
--                        take this role for a transaction
-- The policy by which the first four see all rows is a constant, so that their plans stay what they are.
--
-- It is a function, so that it can be called again once an administrator has made roles that a migration may not make.
-- It changes only what is not as it should be: a policy locks its table. A migration that adds a table extends it.
CREATE FUNCTION leasehold.set_up_roles() RETURNS void LANGUAGE plpgsql AS $set_up$
DECLARE
    role  text;
    owner text;
    item  record;
    names constant text[] := ARRAY['leasehold_migrator', 'leasehold_scheduler', 'leasehold_executor', 'leasehold_viewer',
                                   'leasehold_tenant'];
    mine  constant text := $$tenant_id = nullif(current_setting('leasehold.tenant', true), '')$$;
    -- A row of the queue names its job too: a tenant must not queue a job of somebody else in its own name.
    my_job constant text := 'EXISTS (SELECT 1 FROM leasehold.job AS j WHERE j.key = job_key)';
BEGIN
    PERFORM pg_advisory_xact_lock(5499527226283451761); -- one at a time in a database

    FOREACH role IN ARRAY names LOOP
        CONTINUE WHEN to_regrole(role) IS NOT NULL;
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration made it just now
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'leasehold: % may not create the role %, so there are no roles and no row-level security. '
                    'Let an administrator create it, and then call leasehold.set_up_roles()', current_user, role;
                RETURN;
        END;
    END LOOP;

    IF NOT pg_has_role('leasehold_scheduler', 'leasehold_tenant', 'MEMBER') THEN
        BEGIN
            GRANT leasehold_tenant TO leasehold_scheduler;
        EXCEPTION
            WHEN unique_violation OR internal_error THEN NULL; -- another database's migration does the same just now
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'leasehold: % may not grant leasehold_tenant to leasehold_scheduler', current_user;
        END;
    END IF;

    -- The schema is the role's, so that any of its logins can migrate the next time.
    SELECT pg_get_userbyid(nspowner) INTO owner FROM pg_namespace WHERE nspname = 'leasehold';
    IF owner <> 'leasehold_migrator' THEN
        BEGIN
            EXECUTE format('GRANT CREATE ON DATABASE %I TO leasehold_migrator', current_database());
            IF NOT pg_has_role(current_user, 'leasehold_migrator', 'MEMBER') THEN
                EXECUTE format('GRANT leasehold_migrator TO %I', current_user);
            END IF;
            ALTER SCHEMA leasehold OWNER TO leasehold_migrator;
            FOR item IN SELECT relname AS name FROM pg_class
                        WHERE relnamespace = 'leasehold'::regnamespace AND relkind IN ('r', 'p') LOOP
                EXECUTE format('ALTER TABLE leasehold.%I OWNER TO leasehold_migrator', item.name);
            END LOOP;
            FOR item IN SELECT oid::regprocedure AS name FROM pg_proc
                        WHERE pronamespace = 'leasehold'::regnamespace LOOP
                EXECUTE format('ALTER FUNCTION %s OWNER TO leasehold_migrator', item.name);
            END LOOP;
            owner := 'leasehold_migrator';
        EXCEPTION
            WHEN insufficient_privilege OR internal_error THEN
                RAISE NOTICE 'leasehold: the schema stays with %, which % may not give to leasehold_migrator: %',
                    owner, current_user, SQLERRM;
        END;
    END IF;

    FOR item IN SELECT r.role, r.rights, t.name FROM (VALUES
            ('leasehold_scheduler', 'SELECT', '{migration}'::text[]),
            ('leasehold_scheduler', 'SELECT, INSERT, UPDATE', '{lease,catalog,recovery,config,roster}'),
            ('leasehold_scheduler', 'SELECT, UPDATE, DELETE', '{claim}'),
            ('leasehold_scheduler', 'SELECT, INSERT, DELETE', '{report}'),
            ('leasehold_scheduler', 'SELECT, DELETE', '{executor}'),
            ('leasehold_scheduler', 'SELECT, INSERT, UPDATE, DELETE',
                '{tenant,definition,job,job_version,ahead,ready,running,gate,lane,share,roster_source}'),

            ('leasehold_executor', 'SELECT', '{migration,tenant,definition,job,catalog}'),
            ('leasehold_executor', 'UPDATE (next_due, paused_at, paused_until, pause_reason)', '{job}'),
            ('leasehold_executor', 'SELECT, INSERT', '{report}'),
            ('leasehold_executor', 'SELECT, UPDATE', '{recovery,gate}'),
            ('leasehold_executor', 'SELECT, INSERT, UPDATE', '{lane,share}'),
            ('leasehold_executor', 'SELECT, INSERT, UPDATE, DELETE', '{ahead,ready,running,claim,executor}'),

            -- Not the body of the config: what it took from the environment stands in it.
            ('leasehold_viewer', 'SELECT (one, revision, at, latest, hash)', '{config}'),
            ('leasehold_tenant', 'SELECT (one, revision, at, latest, hash)', '{config}'),
            ('leasehold_viewer', 'SELECT', '{migration,lease,catalog,tenant,definition,job,job_version,ahead,ready,running,'
                'claim,report,executor,recovery,gate,lane,share,roster,roster_source}'),

            ('leasehold_tenant', 'SELECT', '{migration,catalog,tenant,definition,job,job_version,ahead,ready,running,report,'
                'share}'),
            ('leasehold_tenant', 'UPDATE (next_due, paused_at, paused_until, pause_reason, resumed_at)', '{job}'),
            ('leasehold_tenant', 'UPDATE (cancel), DELETE', '{running}'),
            ('leasehold_tenant', 'INSERT, UPDATE (not_before), DELETE', '{ahead,ready}'),
            ('leasehold_tenant', 'INSERT', '{report}')
        ) AS r(role, rights, tables), unnest(r.tables) AS t(name)
    LOOP
        EXECUTE format('GRANT %s ON leasehold.%I TO %I', item.rights, item.name, item.role);
    END LOOP;
    FOREACH role IN ARRAY names LOOP
        CONTINUE WHEN role = 'leasehold_migrator';
        EXECUTE format('GRANT USAGE ON SCHEMA leasehold TO %I', role);
        EXECUTE format('GRANT SELECT ON SEQUENCE leasehold.report_seq_seq TO %I', role);
    END LOOP;

    -- FORCE: the owner is under the policies too, and has one by which it sees all rows.
    FOR item IN SELECT p.*, c.oid, c.relrowsecurity AND c.relforcerowsecurity AS forced FROM (VALUES
            ('tenant', $$id = nullif(current_setting('leasehold.tenant', true), '')$$, 'false'),
            ('job', mine, mine),
            ('job_version', my_job, 'false'),
            ('definition', 'EXISTS (SELECT 1 FROM leasehold.job AS j WHERE j.definition_id = definition.id)
                OR EXISTS (SELECT 1 FROM leasehold.job AS j JOIN leasehold.job_version AS v ON v.job_key = j.key
                           WHERE v.definition_id = definition.id)', 'false'),
            ('ahead', mine, format('%s AND %s', mine, my_job)),
            ('ready', mine, format('%s AND %s', mine, my_job)),
            ('running', mine, format('%s AND %s', mine, my_job)),
            ('report', mine, format('%s AND %s', mine, my_job)),
            ('share', mine, 'false')
        ) AS p(name, seen, written) JOIN pg_class AS c ON c.oid = format('leasehold.%I', p.name)::regclass
    LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = item.oid AND polname = 'batch') THEN
            EXECUTE format('CREATE POLICY batch ON leasehold.%I TO leasehold_migrator, leasehold_scheduler, '
                'leasehold_executor, leasehold_viewer USING (true) WITH CHECK (true)', item.name);
            EXECUTE format('CREATE POLICY tenant ON leasehold.%I TO leasehold_tenant USING (%s) WITH CHECK (%s)',
                item.name, item.seen, item.written);
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

-- Whoever may call it can do no more than before, but nobody else has a reason to.
REVOKE ALL ON FUNCTION leasehold.set_up_roles() FROM PUBLIC;

SELECT leasehold.set_up_roles();
