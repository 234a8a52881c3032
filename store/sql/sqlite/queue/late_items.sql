-- A second's share of what an outage left behind: by priority and then age, no tenant more than its own share, from
-- among the oldest and the latest 20,000 (so that the backlog of one tenant does not hide what others have missed
-- since). Read before the write begins, since it sorts them.
-- ?1 late
WITH late AS (
    SELECT * FROM (SELECT job_key, id, tenant_id, prio, not_before FROM ahead
                   WHERE not_before <= ?1 ORDER BY not_before LIMIT 20000)
    UNION
    SELECT * FROM (SELECT job_key, id, tenant_id, prio, not_before FROM ahead
                   WHERE not_before <= ?1 ORDER BY not_before DESC LIMIT 20000)
),
placed AS (
    SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY prio, not_before, job_key, id) AS place FROM late
)
SELECT job_key, id FROM placed WHERE place <= (SELECT recovery_tenant FROM catalog)
ORDER BY prio, not_before, job_key, id LIMIT (SELECT recovery_total FROM catalog)
