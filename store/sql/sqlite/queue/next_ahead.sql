-- When the next item is on time, whether late ones wait for their share, in which second the last share went, and when
-- items that wait for a rate may be let go. Items that wait for a run of their job have the largest number there is.
-- ?1 late
SELECT (SELECT min(not_before) FROM ahead WHERE not_before > ?1 AND not_before < 9223372036854775807),
       EXISTS (SELECT 1 FROM ahead WHERE not_before <= ?1),
       (SELECT second FROM recovery),
       (SELECT min(wake_at) FROM gate WHERE wake_at IS NOT NULL)
