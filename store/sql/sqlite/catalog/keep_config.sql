-- The config stays in force.
-- ?1 the revision that the plan was made from
UPDATE config SET latest = ?1 + 1 WHERE latest = ?1
