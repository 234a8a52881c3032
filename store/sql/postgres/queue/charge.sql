-- What runs really took: shares move on by what was not thought of when their places were dealt, and the means follow,
-- the latest run with an eighth of the weight. A run counts for a millisecond at least: to claim and settle it is work,
-- too. Lanes move on to what was served. Answers the shares whose waiting items have places that are wrong by more than
-- twice (retag.sql).
-- Locks: lanes and then shares in the order of their keys, as activate.sql.
-- $1 queues, $2 priorities, $3 tenants, $4 numbers of runs, $5 spent, $6 estimated;
-- served: $7 queues, $8 priorities, $9 tags
WITH c AS MATERIALIZED (
    SELECT queue, prio, tenant_id, sum(runs)::bigint AS runs, greatest(sum(spent), sum(runs) * 1000)::bigint AS spent,
           sum(estimated)::bigint AS estimated
    FROM unnest($1::text[], $2::smallint[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[])
        AS u(queue, prio, tenant_id, runs, spent, estimated)
    WHERE runs > 0
    GROUP BY queue, prio, tenant_id
),
l AS MATERIALIZED (
    SELECT queue, prio, max(tag) AS tag, sum(runs)::bigint AS runs, sum(spent)::bigint AS spent
    FROM (SELECT queue, prio, NULL::bigint AS tag, runs, spent FROM c
          UNION ALL
          SELECT s.queue, s.prio, s.tag, NULL, NULL
          FROM unnest($7::text[], $8::smallint[], $9::bigint[]) AS s(queue, prio, tag)) AS x
    GROUP BY queue, prio
),
moved AS (
    INSERT INTO leasehold.lane AS t (queue, prio, v, est)
    SELECT queue, prio, coalesce(tag, leasehold.clock_us()), coalesce(spent / runs, 0) FROM l ORDER BY queue, prio
    ON CONFLICT (queue, prio) DO UPDATE
    SET v = greatest(t.v, (SELECT l.tag FROM l WHERE l.queue = t.queue AND l.prio = t.prio)),
        est = CASE WHEN excluded.est = 0 THEN t.est WHEN t.est = 0 THEN excluded.est
                   ELSE excluded.est + ((t.est - excluded.est) * power(0.875, least(200, (
                       SELECT l.runs FROM l WHERE l.queue = t.queue AND l.prio = t.prio))))::bigint END
    RETURNING 1
),
charged AS (
    INSERT INTO leasehold.share AS s (queue, prio, tenant_id, f, base, tail, est, cost, weight, dealt)
    SELECT queue, prio, tenant_id, spent - estimated, 0, 0, spent / runs, 0, 1, least(runs, 200)
    FROM c WHERE (SELECT count(*) FROM moved) >= 0
    ORDER BY queue, prio, tenant_id
    ON CONFLICT (queue, prio, tenant_id) DO UPDATE
    SET f = s.f + excluded.f / s.weight,
        est = CASE WHEN s.est = 0 THEN excluded.est
                   ELSE excluded.est + ((s.est - excluded.est) * power(0.875, excluded.dealt))::bigint END
    RETURNING queue, prio, tenant_id, est, cost
)
SELECT queue, prio, tenant_id FROM charged WHERE cost > 0 AND (est > 2 * cost OR 2 * est < cost)
