-- What is due moves from ahead to ready. SKIP LOCKED: several executors may do this at once, and share the work.
-- `not_before` bounds the scan, so a million items that are not due are never touched.
--
-- What an outage left behind goes once a second: whoever moves the row in `recovery` on (the others skip it) lets that
-- second's share go, by priority and then age, no tenant more than its own share, from among the oldest and the latest
-- 20,000 (so that the backlog of one tenant does not hide what others have missed since). It lines up behind what its
-- tenant has on time.
--
-- Each item gets its place in virtual time here (see `Queue::charge`): a tenant's places begin where its last one ended,
-- or up to a second before what is being served, whichever is later. The virtual time of a line that is empty is moved
-- on to the clock's, so that nobody pays for what is long over.
-- Locks: ahead, lanes and then shares in the order of their keys, as everybody who takes them; nobody who has them waits
-- for anything else.
-- $1 limit
WITH due AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.ahead
        WHERE not_before <= leasehold.now_us() AND not_before > leasehold.now_us() - 60000000
        ORDER BY not_before LIMIT $1 FOR UPDATE SKIP LOCKED))
    RETURNING *
),
turn AS (
    UPDATE leasehold.recovery SET second = leasehold.now_us() / 1000000
    WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM leasehold.recovery
        WHERE second <> leasehold.now_us() / 1000000
          AND (SELECT true FROM leasehold.ahead WHERE not_before <= leasehold.now_us() - 60000000 LIMIT 1)
        FOR UPDATE SKIP LOCKED))
    RETURNING 1
),
budget AS MATERIALIZED (
    SELECT recovery_total AS total, recovery_tenant AS tenant FROM leasehold.catalog
    WHERE one = 1 AND (SELECT count(*) FROM turn) > 0
),
late AS MATERIALIZED (
    SELECT o.tid, o.prio, o.not_before,
           row_number() OVER (PARTITION BY o.tenant_id ORDER BY o.prio, o.not_before) AS place
    FROM ((SELECT ctid AS tid, tenant_id, prio, not_before FROM leasehold.ahead
           WHERE not_before <= leasehold.now_us() - 60000000 AND (SELECT count(*) FROM budget) > 0
           ORDER BY not_before LIMIT 20000)
          UNION
          (SELECT ctid, tenant_id, prio, not_before FROM leasehold.ahead
           WHERE not_before <= leasehold.now_us() - 60000000 AND (SELECT count(*) FROM budget) > 0
           ORDER BY not_before DESC LIMIT 20000)) AS o
),
recovered AS (
    DELETE FROM leasehold.ahead WHERE ctid = ANY(ARRAY(
        SELECT a.ctid FROM leasehold.ahead AS a
        WHERE a.ctid = ANY(ARRAY(
            SELECT tid FROM late WHERE place <= (SELECT tenant FROM budget)
            ORDER BY prio, not_before LIMIT (SELECT total FROM budget)))
        FOR UPDATE SKIP LOCKED))
    RETURNING *
),
item AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY queue, prio, tenant_id ORDER BY left_behind, not_before, due, id) - 1 AS nth
    FROM (SELECT *, false AS left_behind FROM due UNION ALL SELECT *, true FROM recovered) AS x
),
wanted AS MATERIALIZED (
    SELECT queue, prio, tenant_id, count(*)::integer AS n FROM item GROUP BY queue, prio, tenant_id
),
line AS MATERIALIZED (
    SELECT l.queue, l.prio, (SELECT r.tag FROM leasehold.ready AS r WHERE r.queue = l.queue AND r.prio = l.prio
                             ORDER BY r.queue, r.prio, r.tag LIMIT 1) AS head
    FROM (SELECT DISTINCT queue, prio FROM wanted) AS l
),
begun AS (
    INSERT INTO leasehold.lane AS l (queue, prio, v, est)
    SELECT queue, prio, leasehold.clock_us(), 0 FROM line WHERE head IS NULL ORDER BY queue, prio
    ON CONFLICT (queue, prio) DO UPDATE SET v = greatest(l.v, excluded.v)
    RETURNING queue, prio, v, est
),
served AS MATERIALIZED (
    SELECT queue, prio, v, est FROM begun
    UNION ALL
    SELECT n.queue, n.prio, greatest(n.head, coalesce(l.v, leasehold.now_us())), coalesce(l.est, 0)
    FROM line AS n LEFT JOIN leasehold.lane AS l ON l.queue = n.queue AND l.prio = n.prio
    WHERE n.head IS NOT NULL
),
dealt AS (
    INSERT INTO leasehold.share AS s (queue, prio, tenant_id, f, base, tail, est, cost, weight, dealt)
    SELECT w.queue, w.prio, w.tenant_id, v.v - 1000000 + w.n * leasehold.step(c.cost, t.weight), v.v - 1000000,
           v.v - 1000000 + w.n * leasehold.step(c.cost, t.weight), 0, c.cost, t.weight, w.n
    FROM wanted AS w
    JOIN served AS v ON v.queue = w.queue AND v.prio = w.prio
    CROSS JOIN LATERAL (SELECT coalesce(nullif(v.est, 0), 100000) AS cost OFFSET 0) AS c
    JOIN (SELECT id, weight FROM leasehold.tenant
          WHERE id = ANY(ARRAY(SELECT tenant_id FROM wanted))) AS t ON t.id = w.tenant_id
    ORDER BY w.queue, w.prio, w.tenant_id
    ON CONFLICT (queue, prio, tenant_id) DO UPDATE
    SET weight = excluded.weight, dealt = excluded.dealt, cost = coalesce(nullif(s.est, 0), excluded.cost),
        base = greatest(s.f, excluded.base, CASE WHEN s.tail > excluded.base + 1000000 THEN s.tail END),
        tail = greatest(s.f, excluded.base, CASE WHEN s.tail > excluded.base + 1000000 THEN s.tail END)
            + excluded.dealt * leasehold.step(coalesce(nullif(s.est, 0), excluded.cost), excluded.weight),
        f = greatest(s.f, excluded.base)
            + excluded.dealt * leasehold.step(coalesce(nullif(s.est, 0), excluded.cost), excluded.weight)
    RETURNING queue, prio, tenant_id, base, cost, weight
),
moved AS (
    INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap,
                                 attempt, released, max_attempts, version, every_us, catch_up, misfire_at, expires_at)
    SELECT i.job_key, i.id, i.tenant_id, i.queue, i.prio,
           coalesce(d.base + i.nth * leasehold.step(d.cost, d.weight), leasehold.now_us()), coalesce(d.cost, 0),
           i.cause, i.due, i.not_before, i.overlap, i.attempt, i.released, i.max_attempts, i.version, i.every_us,
           i.catch_up, i.misfire_at, i.expires_at
    FROM item AS i
    LEFT JOIN dealt AS d ON d.queue = i.queue AND d.prio = i.prio AND d.tenant_id = i.tenant_id
    ON CONFLICT DO NOTHING -- a backfill that was asked for twice at once
    RETURNING 1
)
SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM due),
       (SELECT not_before FROM leasehold.ahead
        WHERE not_before > leasehold.now_us() AND not_before < 9223372036854775807 ORDER BY not_before LIMIT 1)
           - leasehold.now_us(),
       (SELECT true FROM leasehold.ahead WHERE not_before <= leasehold.now_us() - 60000000 LIMIT 1),
       (SELECT wake_at FROM leasehold.gate WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT 1) - leasehold.now_us()
