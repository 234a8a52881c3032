-- How attempts end: what kind of error it was, when a run began, and dead letters. Expands only: the version before works
-- on with it; what it writes has no code, and its dead runs are one group.

-- `code`: what kind of error, in a word. `fingerprint`: of dead runs, what those with the same error have in common.
-- `redriven`: the run that was made in the place of a dead one; all zeros if somebody discarded it.
ALTER TABLE leasehold.report
    ADD COLUMN code        text,
    ADD COLUMN fingerprint bigint,
    ADD COLUMN redriven    uuid;
CREATE INDEX report_dead ON leasehold.report (seq) WHERE outcome = 2 AND redriven IS NULL;
CREATE INDEX report_redriven ON leasehold.report (redriven) WHERE redriven IS NOT NULL;

-- When the first attempt started.
ALTER TABLE leasehold.running ADD COLUMN begun_at bigint;

-- Whoever redrives marks the dead run; nobody else changes a report.
ALTER FUNCTION leasehold.set_up_roles() RENAME TO set_up_roles_before_endings;
CREATE FUNCTION leasehold.set_up_roles() RETURNS void LANGUAGE plpgsql AS $set_up$
BEGIN
    PERFORM leasehold.set_up_roles_before_endings();
    IF to_regrole('leasehold_tenant') IS NOT NULL AND to_regrole('leasehold_scheduler') IS NOT NULL THEN
        GRANT UPDATE (redriven) ON leasehold.report TO leasehold_scheduler, leasehold_tenant;
    END IF;
END $set_up$;
REVOKE ALL ON FUNCTION leasehold.set_up_roles() FROM PUBLIC;

SELECT leasehold.set_up_roles();
