-- How attempts end: what kind of error it was, when a run began, and dead letters. Expands only: the version before works
-- on with it; what it writes has no code, and its dead runs are one group.

-- `code`: what kind of error, in a word. `fingerprint`: of dead runs, what those with the same error have in common.
-- `redriven`: the run that was made in the place of a dead one; all zeros if somebody discarded it.
ALTER TABLE report ADD COLUMN code TEXT;
ALTER TABLE report ADD COLUMN fingerprint INTEGER;
ALTER TABLE report ADD COLUMN redriven BLOB;
CREATE INDEX report_dead ON report (seq) WHERE outcome = 2 AND redriven IS NULL;
CREATE INDEX report_redriven ON report (redriven) WHERE redriven IS NOT NULL;

-- When the first attempt started.
ALTER TABLE running ADD COLUMN begun_at INTEGER;
