-- One row for each hook; one without a name if there is none.
SELECT (SELECT seq FROM hook_tail), h.name, h.state, h.tries, h.error, h.delivered_at
FROM (SELECT 1) AS one LEFT JOIN hook AS h ON true
ORDER BY h.name
