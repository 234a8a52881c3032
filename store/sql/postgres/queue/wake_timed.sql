-- Items that wait at gates whose rate allows starts again stand in line again, as many as may start. A gate at which more
-- of them wait is looked at again when the next start leaves its window, or at once, if somebody else had one of them
-- locked. Any executor does this when it activates; what others have is skipped. Who parks an item at a gate sets its
-- time under its lock, in the future: then it is not chosen here, or the item was parked before and is seen.
-- Locks: gates (skipping what others have), ready (likewise).
WITH locked AS MATERIALIZED (
    SELECT id, lim, in_use, starts, per_us, recent_at, recent_n FROM leasehold.gate
    WHERE wake_at <= leasehold.now_us() ORDER BY wake_at LIMIT 100 FOR UPDATE SKIP LOCKED
),
gate AS MATERIALIZED (
    SELECT g.id, g.now, coalesce(leasehold.next_start(g.per_us, g.recent_at, g.now), g.now + g.per_us) AS next_start,
           greatest(coalesce(leasehold.room(g.lim, g.in_use, g.starts, g.per_us, g.recent_at, g.recent_n, g.now),
                             10000), 0) AS room
    FROM (SELECT *, leasehold.clock_us() AS now FROM locked OFFSET 0) AS g
),
due AS MATERIALIZED (
    SELECT g.*, (SELECT count(*) FROM (SELECT 1 FROM leasehold.ready AS r WHERE r.gate_id = g.id
                                       ORDER BY r.gate_id, r.prio, r.tag LIMIT g.room + 1) AS x) AS n
    FROM gate AS g
),
free AS MATERIALIZED (
    SELECT d.id, r.tid FROM due AS d
    CROSS JOIN LATERAL (
        SELECT ctid AS tid FROM leasehold.ready WHERE gate_id = d.id
        ORDER BY gate_id, prio, tag LIMIT d.room FOR UPDATE SKIP LOCKED
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
    RETURNING 1
),
timed AS (
    UPDATE leasehold.gate AS t
    SET wake_at = CASE WHEN d.f < least(d.n, d.room) THEN d.now WHEN d.n > d.room THEN d.next_start END
    FROM (SELECT due.*, (SELECT count(*) FROM free WHERE free.id = due.id) AS f FROM due) AS d
    WHERE t.id = ANY(ARRAY(SELECT id FROM due)) AND t.id = d.id
    RETURNING t.wake_at
)
SELECT (SELECT count(*) FROM woken),
       least((SELECT min(wake_at) FROM timed),
             (SELECT wake_at FROM leasehold.gate WHERE wake_at > leasehold.now_us() ORDER BY wake_at LIMIT 1))
           - leasehold.clock_us()
