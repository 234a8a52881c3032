-- What has become of the hooks, under the term: its row is locked first, so that a takeover waits. Only the leader writes
-- here, so nothing else is waited for.
-- $1 holder, $2 epoch, $3 up to which report, $4 keys of jobs that are dead, $5 of jobs that are not, $6 names of all
-- hooks, $7 names of those that have changed, $8 states, $9 tries, $10 errors, $11 whether a message was delivered
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
tail AS (
    INSERT INTO leasehold.hook_tail AS t (one, seq) SELECT 1, $3 FROM fence
    ON CONFLICT (one) DO UPDATE SET seq = excluded.seq
),
dead AS (
    INSERT INTO leasehold.hook_dead (job_key) SELECT unnest($4::bigint[]) FROM fence ON CONFLICT DO NOTHING
),
alive AS (
    DELETE FROM leasehold.hook_dead WHERE EXISTS (SELECT 1 FROM fence) AND job_key = ANY($5::bigint[])
),
gone AS (
    DELETE FROM leasehold.hook WHERE EXISTS (SELECT 1 FROM fence) AND name <> ALL($6::text[])
),
put AS (
    INSERT INTO leasehold.hook AS h (name, state, tries, error, delivered_at)
    SELECT u.name, u.state, u.tries, u.error, CASE WHEN u.delivered THEN leasehold.now_us() END
    FROM fence, unnest($7::text[], $8::text[], $9::integer[], $10::text[], $11::boolean[])
        AS u(name, state, tries, error, delivered)
    ON CONFLICT (name) DO UPDATE
    SET state = excluded.state, tries = excluded.tries, error = excluded.error,
        delivered_at = coalesce(excluded.delivered_at, h.delivered_at)
)
SELECT EXISTS (SELECT 1 FROM fence)
