-- What gates allow; what passes them right now stays counted.
-- $1 ids in order, $2 how many at once, $3 how many starts, $4 in which time; null: not limited
INSERT INTO leasehold.gate (id, lim, starts, per_us)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::bigint[])
ON CONFLICT (id) DO UPDATE SET lim = excluded.lim, starts = excluded.starts, per_us = excluded.per_us
