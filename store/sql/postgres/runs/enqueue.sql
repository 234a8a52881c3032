-- The function that applications call in transactions of their own; migrations/postgres/0008_enqueue.sql has its locks.
-- $1 tenant, $2 job, $3 payload, $4 options
SELECT leasehold.enqueue($1, $2, $3::jsonb, $4::jsonb)
