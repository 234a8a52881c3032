-- New places for the items of tenants that stand in line with an estimate that has turned out to be wrong, so that a
-- long line is not unfair for long: in the order they have, from where the first of them stands, moved by what the
-- tenant's runs took that was not thought of. Those that wait for room under a limit are among them. The shares are
-- locked first, so that nobody deals meanwhile; items that somebody claims right now are skipped. What is beyond the
-- limit follows with the next charge.
-- $1 queues, $2 priorities, $3 tenants, $4 limit
WITH locked AS MATERIALIZED (
    SELECT queue, prio, tenant_id, f, tail, est, weight FROM leasehold.share
    WHERE queue = ANY($1) AND prio = ANY($2) AND tenant_id = ANY($3)
    ORDER BY queue, prio, tenant_id FOR UPDATE
),
mine AS MATERIALIZED (
    SELECT s.*, coalesce(l.v, 0) AS v, leasehold.step(s.est, s.weight) AS step
    FROM locked AS s
    JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::smallint[], $3::text[]) AS u(queue, prio, tenant_id)) AS u
        ON u.queue = s.queue AND u.prio = s.prio AND u.tenant_id = s.tenant_id
    LEFT JOIN leasehold.lane AS l ON l.queue = s.queue AND l.prio = s.prio
),
waiting AS MATERIALIZED (
    SELECT r.tid, r.tag, r.id, m.queue, m.prio, m.tenant_id, r.cost > 2 * m.est OR 2 * r.cost < m.est AS wrong
    FROM (SELECT ctid AS tid, coalesce(home, queue) AS queue, prio, tenant_id, tag, id, cost FROM leasehold.ready
          WHERE queue = ANY($1::text[] || ''::text) AND prio = ANY($2) AND tenant_id = ANY($3)
            AND (SELECT count(*) FROM mine) > 0) AS r
    JOIN mine AS m ON m.queue = r.queue AND m.prio = r.prio AND m.tenant_id = r.tenant_id
),
again AS MATERIALIZED (
    SELECT ctid AS tid, coalesce(home, queue) AS queue, prio, tenant_id, tag, id FROM leasehold.ready
    WHERE ctid = ANY(ARRAY(SELECT tid FROM waiting WHERE wrong ORDER BY tag LIMIT $4))
    FOR UPDATE SKIP LOCKED
),
start AS MATERIALIZED (
    SELECT m.queue, m.prio, m.tenant_id, m.est, m.step, coalesce(
        (SELECT max(w.tag) + m.step FROM waiting AS w
         WHERE NOT w.wrong AND w.queue = m.queue AND w.prio = m.prio AND w.tenant_id = m.tenant_id),
        greatest(m.v - 1000000, m.f - m.tail + (
            SELECT min(a.tag) FROM again AS a
            WHERE a.queue = m.queue AND a.prio = m.prio AND a.tenant_id = m.tenant_id))) AS base
    FROM mine AS m
),
placed AS MATERIALIZED (
    SELECT a.tid, a.id, s.queue, s.prio, s.tenant_id, s.est, s.step, s.base + s.step * (
        row_number() OVER (PARTITION BY a.queue, a.prio, a.tenant_id ORDER BY a.tag, a.id) - 1) AS tag
    FROM again AS a
    JOIN start AS s ON s.queue = a.queue AND s.prio = a.prio AND s.tenant_id = a.tenant_id
),
gone AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT tid FROM placed)) RETURNING *
),
moved AS ( -- a row that goes, and a new one that comes: see park.sql
    INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap,
                                 attempt, released, max_attempts, version, every_us, catch_up, misfire_at, expires_at,
                                 gate_id, home)
    SELECT r.job_key, r.id, r.tenant_id, r.queue, r.prio, p.tag, p.est, r.cause, r.due, r.not_before,
           r.overlap, r.attempt, r.released, r.max_attempts, r.version, r.every_us, r.catch_up, r.misfire_at,
           r.expires_at, r.gate_id, r.home
    FROM gone AS r JOIN placed AS p ON p.id = r.id
    RETURNING 1
)
UPDATE leasehold.share AS s
SET cost = CASE WHEN (SELECT count(*) FROM again) < $4 THEN m.est ELSE s.cost END,
    f = coalesce(p.tail, s.f), tail = coalesce(p.tail, s.tail)
FROM mine AS m
LEFT JOIN (SELECT queue, prio, tenant_id, max(tag + step) AS tail FROM placed GROUP BY queue, prio, tenant_id) AS p
    ON p.queue = m.queue AND p.prio = m.prio AND p.tenant_id = m.tenant_id
WHERE s.queue = ANY($1) AND s.prio = ANY($2) AND s.tenant_id = ANY($3)
  AND s.queue = m.queue AND s.prio = m.prio AND s.tenant_id = m.tenant_id
  AND (SELECT count(*) FROM moved) >= 0
