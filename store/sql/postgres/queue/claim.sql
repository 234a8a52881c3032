-- The head of the line becomes running, in one statement. Rows of `ready` are locked first (SKIP LOCKED: claimers
-- share the line and never wait for each other), then gates in the order of their ids, then `running` in the order of
-- jobs. What must not run stays in `ready`; dismiss.sql then ends it on a fresh snapshot, and park.sql takes out of the
-- line what a limit has no room for. Whether a later due time of the same job has come (`missed`) is decided here, where
-- the later item can still be seen: it may start in this very batch.
--
-- An item passes all gates of its job or none: none if one of them is shut, or if those before it in line (also such as
-- another gate bars, so that one pass decides) need what is left. What is then left over is used by the next claim. What
-- gates hold is written as a number that was read under their lock: an UPDATE that counts would look at the row of this
-- statement's snapshot.
--
-- A first attempt is an insert, and the unique index on the job decides who runs (invariant I8); a later one takes
-- its row in `running` back (invariant I5). Tables are reached by `= ANY(ARRAY(…))`, so that a plan made while the
-- queue was empty stays an index scan; `+ 0` keeps a probe for one job from the index over all due times.
--
-- What needs an executor that can do more waits outside the line, under the id of that need, and is met here by those who
-- can, in its place: one probe of the index says that there is none. What this executor cannot run leaves the line, too.
-- $1 queues, $2 limit, $3 claim, $4 executor, $5 ttl, $6 what it can do; null: everything
WITH line AS MATERIALIZED (
    SELECT r.* FROM unnest($1::text[]) AS q(name)
    CROSS JOIN LATERAL (
        SELECT ctid AS tid, job_key, id, tenant_id, queue, prio, tag, cause, due, overlap, attempt, released,
               max_attempts, version, every_us, catch_up, misfire_at, expires_at, cost
        FROM leasehold.ready WHERE queue = q.name ORDER BY prio, tag LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS r
    LIMIT $2
),
needing AS MATERIALIZED (
    SELECT r.* FROM unnest($6::bigint[]) AS n(id)
    CROSS JOIN LATERAL (
        SELECT ctid AS tid, job_key, id, tenant_id, home AS queue, prio, tag, cause, due, overlap, attempt, released,
               max_attempts, version, every_us, catch_up, misfire_at, expires_at, cost
        FROM leasehold.ready WHERE gate_id = n.id AND home = ANY($1)
        ORDER BY gate_id, prio, tag LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS r
    WHERE (SELECT true FROM leasehold.ready WHERE gate_id >= -4611686018427387904 AND gate_id < 0
           ORDER BY gate_id LIMIT 1)
),
head AS MATERIALIZED (
    SELECT * FROM (SELECT * FROM line UNION ALL SELECT * FROM needing) AS x ORDER BY prio, tag LIMIT $2
),
known AS MATERIALIZED (
    SELECT h.*, j.name, j.definition_id, j.active, j.since, j.paused_until, j.gated, j.gates, t.revision,
        -- No later one was queued unless the job's watermark says so: nearly always this ends here.
        h.attempt = 0 AND h.cause = 0 AND h.every_us IS NULL AND h.catch_up = 0 AND coalesce(j.last_fired > h.due, true)
            AND coalesce(
            (SELECT true FROM leasehold.ready AS l WHERE l.job_key = h.job_key AND l.id > h.id AND l.due > h.due
                AND l.cause = 0 AND l.attempt = 0 AND l.version >= j.since LIMIT 1),
            (SELECT true FROM leasehold.ahead AS l WHERE l.job_key = h.job_key AND l.id > h.id AND l.due > h.due
                AND l.cause = 0 AND l.attempt = 0 AND l.version >= j.since
                AND l.not_before + 0 <= leasehold.now_us() LIMIT 1),
            false) AS missed,
        $6::bigint[] IS NOT NULL AND j.gates IS NOT NULL AND EXISTS (
            SELECT 1 FROM unnest(j.gates) AS g(id)
            WHERE g.id >= -4611686018427387904 AND g.id < 0 AND g.id <> ALL($6)) AS unable
    FROM head AS h
    JOIN (SELECT key, name, active, since, definition_id, paused_until, gated, gates, last_fired FROM leasehold.job
          WHERE key = ANY(ARRAY(SELECT job_key FROM head))) AS j ON j.key = h.job_key
    LEFT JOIN (SELECT id, revision FROM leasehold.tenant
               WHERE id = ANY(ARRAY(SELECT tenant_id FROM head))) AS t ON t.id = h.tenant_id
),
c AS MATERIALIZED (
    SELECT *, fit AND NOT unable AS runnable
    FROM (SELECT *, active AND attempt - released < max_attempts
        AND coalesce(expires_at > leasehold.now_us(), true)
        AND (attempt > 0 OR NOT gated)
        AND (attempt > 0 OR cause <> 0
             OR (version >= since AND coalesce(paused_until <= leasehold.now_us(), true)
                 AND coalesce(misfire_at > leasehold.now_us(), true) AND NOT missed)) AS fit
          FROM known) AS k
),
wish AS MATERIALIZED (
    SELECT c.id, c.prio, c.tag, g.id AS gate FROM c CROSS JOIN LATERAL unnest(c.gates) AS g(id)
    WHERE c.runnable AND c.gates IS NOT NULL AND (g.id >= 0 OR g.id < -4611686018427387904)
),
locked AS MATERIALIZED (
    SELECT id, lim, in_use, starts, per_us, recent_at, recent_n FROM leasehold.gate
    WHERE id = ANY(ARRAY(SELECT gate FROM wish)) ORDER BY id FOR UPDATE
),
gate AS MATERIALIZED (
    SELECT g.*, leasehold.room(g.lim, g.in_use, g.starts, g.per_us, g.recent_at, g.recent_n, g.now) AS room
    FROM (SELECT *, leasehold.clock_us() AS now FROM locked OFFSET 0) AS g
),
shut AS MATERIALIZED (SELECT DISTINCT w.id FROM wish AS w JOIN gate AS g ON g.id = w.gate WHERE g.room <= 0),
barred AS MATERIALIZED (
    SELECT id FROM shut
    UNION
    SELECT x.id FROM (
        SELECT w.id, g.room, row_number() OVER (PARTITION BY w.gate ORDER BY w.prio, w.tag, w.id) AS place
        FROM wish AS w JOIN gate AS g ON g.id = w.gate LEFT JOIN shut AS s ON s.id = w.id WHERE s.id IS NULL) AS x
    WHERE x.place > x.room
),
go AS MATERIALIZED (
    SELECT c.*, CASE WHEN c.gates IS NOT NULL THEN ( -- what limits nothing and is not there is not passed either
               SELECT array_agg(g.id ORDER BY g.id) FROM unnest(c.gates) AS g(id)
               WHERE g.id = ANY(ARRAY(SELECT id FROM locked))) END AS passes
    FROM c LEFT JOIN barred AS b ON b.id = c.id WHERE c.runnable AND b.id IS NULL
),
first AS (
    INSERT INTO leasehold.running (id, job_key, tenant_id, queue, prio, cause, due, overlap, attempt, released,
                                   max_attempts, version, every_us, claim_id, executor, started_at, catch_up,
                                   expires_at, gates, begun_at)
    SELECT id, job_key, tenant_id, queue, prio, cause, due, overlap, 1, released, max_attempts, version, every_us,
           $3, $4, leasehold.clock_us(), catch_up, expires_at, passes, leasehold.clock_us()
    FROM go WHERE attempt = 0 ORDER BY job_key, tag
    ON CONFLICT DO NOTHING
    RETURNING id, begun_at
),
again AS (
    UPDATE leasehold.running AS r
    SET claim_id = $3, executor = $4, attempt = r.attempt + 1, started_at = leasehold.clock_us(), gates = go.passes,
        begun_at = coalesce(r.begun_at, leasehold.clock_us())
    FROM go
    WHERE r.id = ANY(ARRAY(SELECT id FROM go WHERE attempt > 0)) AND r.id = go.id AND r.claim_id IS NULL
    RETURNING r.id, r.begun_at
),
started AS MATERIALIZED (SELECT id, begun_at FROM first UNION ALL SELECT id, begun_at FROM again),
passed AS MATERIALIZED (
    SELECT g.id, g.in_use, g.starts, g.per_us, g.recent_at, g.recent_n, g.now, p.n
    FROM (SELECT w.gate, count(*)::integer AS n FROM wish AS w JOIN started AS s ON s.id = w.id GROUP BY w.gate) AS p
    JOIN gate AS g ON g.id = p.gate
),
counted AS (
    UPDATE leasehold.gate AS g SET in_use = p.in_use + p.n, recent_at = p.at, recent_n = p.ns
    FROM (SELECT passed.id, passed.in_use, passed.n, coalesce(r.at, '{}') AS at, coalesce(r.ns, '{}') AS ns
          FROM passed CROSS JOIN LATERAL ( -- starts of one hundredth of the window are one entry, at the latest of them
              SELECT array_agg(z.at ORDER BY z.at) AS at, array_agg(z.n ORDER BY z.at) AS ns
              FROM (SELECT max(y.at) AS at, sum(y.n)::integer AS n
                    FROM (SELECT x.at, x.n FROM unnest(passed.recent_at, passed.recent_n) AS x(at, n)
                          WHERE x.at > passed.now - passed.per_us
                          UNION ALL SELECT passed.now, passed.n) AS y
                    WHERE passed.starts IS NOT NULL
                    GROUP BY y.at / greatest(passed.per_us / 100, 1)) AS z) AS r) AS p
    WHERE g.id = ANY(ARRAY(SELECT id FROM passed)) AND g.id = p.id
),
taken AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT c.tid FROM c JOIN started USING (id)))
),
minted AS (
    INSERT INTO leasehold.claim (id, executor, lease_until)
    SELECT $3, $4, leasehold.clock_us() + $5 FROM (SELECT count(*) AS n FROM started) AS x WHERE n > 0
)
SELECT c.job_key, c.id, c.tenant_id, c.revision, c.name, c.definition_id, c.cause, c.due, c.attempt + 1, c.released,
       s.id IS NOT NULL AS started, c.missed, c.runnable AND s.id IS NULL AND (c.overlap <> 1 OR b.id IS NULL) AS blocked,
       c.queue, c.prio, c.tag, c.cost, b.id IS NOT NULL OR c.fit AND c.unable AS limited,
       CASE WHEN s.id IS NULL THEN c.gates ELSE go.passes END AS gates,
       CASE WHEN c.attempt > 0 THEN leasehold.clock_us() - s.begun_at END AS age
FROM c LEFT JOIN started AS s ON s.id = c.id LEFT JOIN barred AS b ON b.id = c.id LEFT JOIN go ON go.id = c.id
ORDER BY c.prio, c.tag, c.due, c.id
