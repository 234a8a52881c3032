-- Items that wait at gates which have room again stand in line again, by priority and place, as many as permits were
-- freed. A statement of its own, after what freed the permits was committed: an item may have been parked while that
-- statement ran, and only a fresh snapshot sees it. The gates are only looked at: an item too many is parked again by
-- the claim that meets it, and one too few is found by the rescuer. If what a rate allows is used up, it is noted when
-- there is room again.
--
-- A claim or a park that met an item just as it was parked may have it locked until it commits. Waiting for it could be
-- waiting in a circle, so it is skipped, and the answer says of how many each gate was left short.
-- Locks: ready (skipping what others have), gates in the order of their ids.
-- $1 gates, $2 how many of each at most
WITH gate AS MATERIALIZED (
    SELECT g.id, g.starts IS NOT NULL AS timed, u.most,
           leasehold.room(g.lim, g.in_use, g.starts, g.per_us, g.recent_at, g.recent_n, leasehold.now_us()) AS room
    FROM leasehold.gate AS g
    JOIN (SELECT x.id, sum(x.most)::bigint AS most FROM unnest($1::bigint[], $2::bigint[]) AS x(id, most)
          GROUP BY x.id) AS u ON u.id = g.id
    WHERE g.id = ANY($1)
),
due AS MATERIALIZED (
    SELECT g.id, g.most, (SELECT count(*) FROM (SELECT 1 FROM leasehold.ready AS r WHERE r.gate_id = g.id
                                                ORDER BY r.gate_id, r.prio, r.tag LIMIT g.most) AS x) AS n
    FROM (SELECT id, greatest(least(room, most), 0) AS most FROM gate) AS g
),
free AS MATERIALIZED (
    SELECT d.id, r.tid FROM due AS d
    CROSS JOIN LATERAL (
        SELECT ctid AS tid FROM leasehold.ready WHERE gate_id = d.id
        ORDER BY gate_id, prio, tag LIMIT d.most FOR UPDATE SKIP LOCKED
    ) AS r
    WHERE d.n > 0
),
gone AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT tid FROM free)) RETURNING *
),
woken AS ( -- a row that goes, and a new one that comes: see park.sql
    INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap,
                                 attempt, released, max_attempts, version, every_us, catch_up, misfire_at, expires_at)
    SELECT r.job_key, r.id, r.tenant_id, r.home, r.prio, greatest(r.tag, (
               SELECT l.v FROM leasehold.lane AS l WHERE l.queue = r.home AND l.prio = r.prio)), r.cost, r.cause, r.due, r.not_before,
           r.overlap, r.attempt, r.released, r.max_attempts, r.version, r.every_us, r.catch_up, r.misfire_at,
           r.expires_at
    FROM gone AS r
),
closed AS MATERIALIZED (
    SELECT g.id FROM gate AS g
    WHERE g.timed AND g.room <= 0
      AND (SELECT true FROM leasehold.ready AS r WHERE r.gate_id = g.id LIMIT 1)
),
timed AS (
    UPDATE leasehold.gate AS g
    SET wake_at = coalesce(leasehold.next_start(g.per_us, g.recent_at, leasehold.now_us()), leasehold.now_us())
    WHERE g.id = ANY(ARRAY(SELECT id FROM leasehold.gate WHERE id = ANY(ARRAY(SELECT id FROM closed))
                           ORDER BY id FOR UPDATE))
)
SELECT d.id, coalesce(f.n, 0) AS woken, greatest(d.n - coalesce(f.n, 0), 0) AS short
FROM due AS d LEFT JOIN (SELECT id, count(*) AS n FROM free GROUP BY id) AS f ON f.id = d.id
WHERE d.n > 0
