-- Reports are written in the order of time, so the oldest have the lowest seq: no index on time is needed.
-- ?1 everything that finished before this instant, ?2 limit
DELETE FROM report
WHERE seq IN (SELECT seq FROM report ORDER BY seq LIMIT ?2) AND max(finished_at, due) < ?1
RETURNING id
