-- Circuit breakers of endpoints, and what executors can do. Expands only: the version before works on with it, but takes
-- what it cannot run, and does not see what waits for an executor that can.

-- What it can do beside `http` and `sql`, as a JSON list; null: it is of the version before.
ALTER TABLE leasehold.executor ADD COLUMN abilities text;

-- One row for each endpoint that is down. Its gate lets nobody through, and, once `probing`, one run at a time. `times`:
-- how often it has opened since it was closed.
CREATE TABLE leasehold.breaker (
    endpoint  text COLLATE "C" NOT NULL PRIMARY KEY,
    gate_id   bigint  NOT NULL,
    opened_at bigint  NOT NULL,
    retry_at  bigint  NOT NULL,
    times     integer NOT NULL,
    probing   boolean NOT NULL,
    error     text    NOT NULL,
    executor  uuid    NOT NULL
) WITH (fillfactor = 50);

-- What the roles may do with it is set up with all the rest.
ALTER FUNCTION leasehold.set_up_roles() RENAME TO set_up_roles_before_breakers;
CREATE FUNCTION leasehold.set_up_roles() RETURNS void LANGUAGE plpgsql AS $set_up$
BEGIN
    PERFORM leasehold.set_up_roles_before_breakers();
    IF to_regrole('leasehold_tenant') IS NULL OR to_regrole('leasehold_migrator') IS NULL THEN
        RETURN; -- it has said why
    END IF;
    GRANT SELECT, INSERT, UPDATE, DELETE ON leasehold.breaker TO leasehold_scheduler, leasehold_executor;
    GRANT INSERT ON leasehold.gate TO leasehold_executor;
    GRANT SELECT ON leasehold.breaker TO leasehold_viewer;
END $set_up$;
REVOKE ALL ON FUNCTION leasehold.set_up_roles() FROM PUBLIC;

SELECT leasehold.set_up_roles();
