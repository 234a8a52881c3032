-- $1 whether any share of the tenants of a source may go
UPDATE leasehold.roster SET asked = asked + 1, drop_allowed = CASE WHEN $1 THEN asked + 1 ELSE drop_allowed END
RETURNING asked
