-- A trigger is a run of its own (another kind of id) and leaves the schedule alone: it carries no interval token. The
-- primary key decides between two triggers that drew the same id. It is ready at once; its place is dealt as in
-- activate.sql, and the locks are those.
-- $1 id, $2 job key, $3 now, $4 whether it runs beside others of its job; 1 = trigger
WITH j AS MATERIALIZED (
    SELECT j.key, j.tenant_id, j.queue, j.prio, j.overlap, j.max_attempts, j.version, t.weight,
           (SELECT r.tag FROM leasehold.ready AS r WHERE r.queue = j.queue AND r.prio = j.prio
            ORDER BY r.queue, r.prio, r.tag LIMIT 1) AS head
    FROM leasehold.job AS j JOIN leasehold.tenant AS t ON t.id = j.tenant_id
    WHERE j.key = $2 AND j.active
),
begun AS (
    INSERT INTO leasehold.lane AS l (queue, prio, v, est)
    SELECT queue, prio, leasehold.clock_us(), 0 FROM j WHERE head IS NULL
    ON CONFLICT (queue, prio) DO UPDATE SET v = greatest(l.v, excluded.v)
    RETURNING v, est
),
served AS MATERIALIZED (
    SELECT v, est FROM begun
    UNION ALL
    SELECT greatest(j.head, coalesce(l.v, $3)), coalesce(l.est, 0)
    FROM j LEFT JOIN leasehold.lane AS l ON l.queue = j.queue AND l.prio = j.prio
    WHERE j.head IS NOT NULL
),
dealt AS (
    INSERT INTO leasehold.share AS s (queue, prio, tenant_id, f, base, tail, est, cost, weight, dealt)
    SELECT j.queue, j.prio, j.tenant_id, v.v - 1000000 + leasehold.step(c.cost, j.weight), v.v - 1000000,
           v.v - 1000000 + leasehold.step(c.cost, j.weight), 0, c.cost, j.weight, 1
    FROM j, served AS v CROSS JOIN LATERAL (SELECT coalesce(nullif(v.est, 0), 100000) AS cost OFFSET 0) AS c
    ON CONFLICT (queue, prio, tenant_id) DO UPDATE
    SET weight = excluded.weight, dealt = 1, cost = coalesce(nullif(s.est, 0), excluded.cost),
        base = greatest(s.f, excluded.base, CASE WHEN s.tail > excluded.base + 1000000 THEN s.tail END),
        tail = greatest(s.f, excluded.base, CASE WHEN s.tail > excluded.base + 1000000 THEN s.tail END)
            + leasehold.step(coalesce(nullif(s.est, 0), excluded.cost), excluded.weight),
        f = greatest(s.f, excluded.base)
            + leasehold.step(coalesce(nullif(s.est, 0), excluded.cost), excluded.weight)
    RETURNING base, cost
)
INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap, attempt,
                             released, max_attempts, version, every_us, catch_up)
SELECT j.key, $1, j.tenant_id, j.queue, j.prio, d.base, d.cost, 1, $3, $3, CASE WHEN $4 THEN 1 ELSE j.overlap END,
       0, 0, j.max_attempts, j.version, NULL, 2
FROM j, dealt AS d
ON CONFLICT DO NOTHING
