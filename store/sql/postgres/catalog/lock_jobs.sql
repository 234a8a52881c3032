-- Jobs that change. Locked: from here on nothing of them is fanned out, and no dispatch takes an interval token.
-- $1 keys
SELECT 1 FROM leasehold.job WHERE key = ANY($1) ORDER BY key FOR UPDATE
