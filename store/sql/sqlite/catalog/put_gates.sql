-- What gates allow; what passes them right now stays counted.
-- ?1 [[id, how many at once, how many starts, in which time], …]; null: not limited
INSERT INTO gate (id, lim, starts, per_us)
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1) WHERE true
ON CONFLICT (id) DO UPDATE SET lim = excluded.lim, starts = excluded.starts, per_us = excluded.per_us
