-- Items that a limit has no room for leave the line, so that no claim meets them again: they wait at the first of their
-- gates that is shut (wake.sql lets them go), or for an executor that can do what this one cannot (claim.sql). On a snapshot of its own and under the lock of the gates: whoever frees a
-- permit afterwards sees them. With them go others near the head of the line that are barred by the same gates. Items
-- that have room by now stay in line.
-- Locks: ready (skipping what others have), gates in the order of their ids.
-- $1 keys, $2 ids, $3 their gates, $4 queues, $5 how far to look for others, $6 what is needed that
-- this executor cannot do
WITH near AS MATERIALIZED (
    SELECT h.tid FROM unnest($4::text[]) AS q(name)
    CROSS JOIN LATERAL (
        SELECT ctid AS tid, job_key FROM leasehold.ready WHERE queue = q.name ORDER BY prio, tag LIMIT $5
    ) AS h
    WHERE (SELECT j.gates && $3::bigint[] FROM leasehold.job AS j WHERE j.key = h.job_key LIMIT 1)
),
asked AS MATERIALIZED (
    SELECT (SELECT r.ctid FROM leasehold.ready AS r
            WHERE r.job_key = u.job_key AND r.id = u.id
              AND (r.gate_id IS NULL OR r.gate_id >= -4611686018427387904 AND r.gate_id < 0) LIMIT 1) AS tid, u.id
    FROM unnest($1::bigint[], $2::uuid[]) AS u(job_key, id)
),
i AS MATERIALIZED (
    SELECT ctid AS tid, job_key, id FROM leasehold.ready
    WHERE ctid = ANY(ARRAY(SELECT tid FROM near UNION SELECT tid FROM asked WHERE tid IS NOT NULL))
      AND (gate_id IS NULL OR gate_id >= -4611686018427387904 AND gate_id < 0)
    FOR UPDATE SKIP LOCKED
),
wish AS MATERIALIZED (
    SELECT i.id, i.tid, g.id AS gate
    FROM i JOIN (SELECT key, gates FROM leasehold.job WHERE key = ANY(ARRAY(SELECT job_key FROM i))) AS j
        ON j.key = i.job_key
    CROSS JOIN LATERAL unnest(j.gates) AS g(id)
),
locked AS MATERIALIZED (
    SELECT id, lim, in_use, starts, per_us, recent_at, recent_n FROM leasehold.gate
    WHERE id = ANY(ARRAY(SELECT gate FROM wish)) ORDER BY id FOR UPDATE
),
gate AS MATERIALIZED (
    SELECT g.id, g.starts IS NOT NULL AS timed,
           leasehold.room(g.lim, g.in_use, g.starts, g.per_us, g.recent_at, g.recent_n, g.now) AS room,
           leasehold.next_start(g.per_us, g.recent_at, g.now) AS next_start
    FROM (SELECT *, leasehold.clock_us() AS now FROM locked OFFSET 0) AS g
),
shut AS MATERIALIZED (
    SELECT w.id, w.tid, min(w.gate) AS gate FROM wish AS w LEFT JOIN gate AS g ON g.id = w.gate
    WHERE g.room <= 0 OR w.gate = ANY($6::bigint[])
    GROUP BY w.id, w.tid
),
gone AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT tid FROM shut)) RETURNING *
),
parked AS (
    INSERT INTO leasehold.ready (job_key, id, tenant_id, queue, prio, tag, cost, cause, due, not_before, overlap,
                                 attempt, released, max_attempts, version, every_us, catch_up, misfire_at, expires_at, gate_id, home)
    SELECT r.job_key, r.id, r.tenant_id, '', r.prio, r.tag, r.cost, r.cause, r.due, r.not_before,
           r.overlap, r.attempt, r.released, r.max_attempts, r.version, r.every_us, r.catch_up, r.misfire_at,
           r.expires_at, s.gate, coalesce(r.home, r.queue)
    FROM gone AS r JOIN shut AS s ON s.id = r.id
    RETURNING id, gate_id
),
timed AS (
    UPDATE leasehold.gate AS t SET wake_at = g.next_start FROM gate AS g
    WHERE t.id = ANY(ARRAY(SELECT gate_id FROM parked)) AND t.id = g.id AND g.timed
)
SELECT (SELECT count(*) FROM parked),
       (SELECT count(*) FROM i JOIN asked AS a ON a.id = i.id LEFT JOIN parked AS p ON p.id = i.id WHERE p.id IS NULL),
       ARRAY(SELECT id FROM gate WHERE coalesce(room, 1) > 0)
