-- The config stays in force. The row of the catalog is locked, so nobody else writes it.
-- $1 the revision that the plan was made from
UPDATE leasehold.config SET latest = $1 + 1 WHERE latest = $1
