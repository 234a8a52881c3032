-- Jobs that change. Locked: from here on nothing of them is fanned out, and no dispatch takes an interval token. In the
-- order in which settle and rescue come upon them, as far as that is known.
-- $1 keys
SELECT 1 FROM leasehold.job WHERE key = ANY($1) FOR UPDATE
