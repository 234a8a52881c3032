-- The head of the line becomes running, in one statement. Rows of `ready` are locked first (SKIP LOCKED: claimers
-- share the line and never wait for each other), then `running` in the order of jobs. What must not run stays in
-- `ready`; dismiss.sql then ends it on a fresh snapshot. Whether a later due time of the same job has come (`missed`)
-- is decided here, where the later item can still be seen: it may start in this very batch.
--
-- A first attempt is an insert, and the unique index on the job decides who runs (invariant I8); a later one takes
-- its row in `running` back (invariant I5). Tables are reached by `= ANY(ARRAY(…))`, so that a plan made while the
-- queue was empty stays an index scan; `+ 0` keeps a probe for one job from the index over all due times.
-- $1 queues, $2 limit, $3 claim, $4 executor, $5 ttl
WITH head AS MATERIALIZED (
    SELECT r.* FROM unnest($1::text[]) AS q(name)
    CROSS JOIN LATERAL (
        SELECT ctid AS tid, job_key, id, tenant_id, queue, prio, tag, cause, due, overlap, attempt, released,
               max_attempts, version, every_us, catch_up, misfire_at, expires_at, cost
        FROM leasehold.ready WHERE queue = q.name ORDER BY prio, tag LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS r
    LIMIT $2
),
known AS MATERIALIZED (
    SELECT h.*, j.name, j.definition_id, j.active, j.since, j.paused_until, t.revision,
        h.attempt = 0 AND h.cause = 0 AND h.every_us IS NULL AND h.catch_up = 0 AND coalesce(
            (SELECT true FROM leasehold.ready AS l WHERE l.job_key = h.job_key AND l.id > h.id AND l.due > h.due
                AND l.cause = 0 AND l.attempt = 0 AND l.version >= j.since LIMIT 1),
            (SELECT true FROM leasehold.ahead AS l WHERE l.job_key = h.job_key AND l.id > h.id AND l.due > h.due
                AND l.cause = 0 AND l.attempt = 0 AND l.version >= j.since
                AND l.not_before + 0 <= leasehold.now_us() LIMIT 1),
            false) AS missed
    FROM head AS h
    JOIN (SELECT key, name, active, since, definition_id, paused_until FROM leasehold.job
          WHERE key = ANY(ARRAY(SELECT job_key FROM head))) AS j ON j.key = h.job_key
    LEFT JOIN (SELECT id, revision FROM leasehold.tenant
               WHERE id = ANY(ARRAY(SELECT tenant_id FROM head))) AS t ON t.id = h.tenant_id
),
c AS MATERIALIZED (
    SELECT *, active AND attempt - released < max_attempts
        AND coalesce(expires_at > leasehold.now_us(), true)
        AND (attempt > 0 OR cause <> 0
             OR (version >= since AND coalesce(paused_until <= leasehold.now_us(), true)
                 AND coalesce(misfire_at > leasehold.now_us(), true) AND NOT missed)) AS runnable
    FROM known
),
first AS (
    INSERT INTO leasehold.running (id, job_key, tenant_id, queue, prio, cause, due, overlap, attempt, released,
                                   max_attempts, version, every_us, claim_id, executor, started_at, catch_up,
                                   expires_at)
    SELECT id, job_key, tenant_id, queue, prio, cause, due, overlap, 1, released, max_attempts, version, every_us,
           $3, $4, leasehold.clock_us(), catch_up, expires_at
    FROM c WHERE attempt = 0 AND runnable ORDER BY job_key, tag
    ON CONFLICT DO NOTHING
    RETURNING id
),
again AS (
    UPDATE leasehold.running SET claim_id = $3, executor = $4, attempt = attempt + 1, started_at = leasehold.clock_us()
    WHERE id = ANY(ARRAY(SELECT id FROM c WHERE attempt > 0 AND runnable)) AND claim_id IS NULL
    RETURNING id
),
started AS MATERIALIZED (SELECT id FROM first UNION ALL SELECT id FROM again),
taken AS (
    DELETE FROM leasehold.ready WHERE ctid = ANY(ARRAY(SELECT c.tid FROM c JOIN started USING (id)))
),
minted AS (
    INSERT INTO leasehold.claim (id, executor, lease_until)
    SELECT $3, $4, leasehold.clock_us() + $5 FROM (SELECT count(*) AS n FROM started) AS x WHERE n > 0
)
SELECT c.job_key, c.id, c.tenant_id, c.revision, c.name, c.definition_id, c.cause, c.due, c.attempt + 1, c.released,
       s.id IS NOT NULL AS started, c.missed, c.runnable AND s.id IS NULL AS blocked, c.queue, c.prio, c.tag, c.cost
FROM c LEFT JOIN started AS s USING (id)
ORDER BY c.prio, c.tag
