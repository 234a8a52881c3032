-- $1 claims
SELECT id FROM leasehold.running WHERE claim_id = ANY($1) AND cancel
