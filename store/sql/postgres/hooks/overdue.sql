-- What should have started, and has not: of each line those that are next, what no executor has made ready, and jobs at
-- which the leader has not looked. What waits at a limit or for a run of its job waits on purpose. Reads along indexes
-- that others need, so much of each at most: a look costs the same however much waits.
-- $1 from which delay on, $2 how many
SELECT q.tenant_id, j.name, q.not_before, true FROM (
    SELECT r.tenant_id, r.job_key, r.not_before
    FROM leasehold.lane AS l CROSS JOIN LATERAL (
        SELECT * FROM leasehold.ready AS r WHERE r.queue = l.queue AND r.prio = l.prio ORDER BY r.tag LIMIT $2
    ) AS r
    WHERE r.attempt = 0 AND r.not_before <= leasehold.now_us() - $1
    UNION ALL
    (SELECT a.tenant_id, a.job_key, a.not_before FROM leasehold.ahead AS a
     WHERE a.attempt = 0 AND a.not_before <= leasehold.now_us() - $1 ORDER BY a.not_before LIMIT $2)
) AS q JOIN leasehold.job AS j ON j.key = q.job_key
UNION ALL
(SELECT j.tenant_id, j.name, j.next_due, false FROM leasehold.job AS j
 WHERE j.active AND j.next_due <= leasehold.now_us() - $1 ORDER BY j.next_due LIMIT $2)
