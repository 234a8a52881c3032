-- What came of asking the sources, under the term: its row is locked first, so that a takeover waits. A source that gave
-- no good answer keeps the time of its last one.
-- $1 holder, $2 epoch, $3 names in the order of the config, $4 tenants, $5 refused, $6 refusals, $7 errors, $8 held,
-- $9 whether it was good, $10 up to which request, $11 config of a finished pass or null, $12 its instant
WITH fence AS MATERIALIZED (
    SELECT 1 FROM leasehold.lease
    WHERE name = 'leader' AND holder = $1 AND epoch = $2 AND expires_at > leasehold.now_us()
    FOR KEY SHARE
),
gone AS (
    DELETE FROM leasehold.roster_source WHERE EXISTS (SELECT 1 FROM fence) AND name <> ALL($3::text[])
),
put AS (
    INSERT INTO leasehold.roster_source AS s (name, place, asked_at, good_at, tenants, refused, refusals, error, held)
    SELECT u.name, u.place, leasehold.now_us(), CASE WHEN u.good THEN leasehold.now_us() END, u.tenants, u.refused,
           u.refusals, u.error, u.held
    FROM fence, unnest($3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::boolean[])
        WITH ORDINALITY AS u(name, tenants, refused, refusals, error, held, good, place)
    ON CONFLICT (name) DO UPDATE
    SET place = excluded.place, asked_at = excluded.asked_at, good_at = coalesce(excluded.good_at, s.good_at),
        tenants = excluded.tenants, refused = excluded.refused, refusals = excluded.refusals, error = excluded.error,
        held = excluded.held
),
answered AS (
    UPDATE leasehold.roster SET done = greatest(done, $10), pass_config = coalesce($11, pass_config),
        pass_at = coalesce($12, pass_at)
    WHERE EXISTS (SELECT 1 FROM fence)
)
SELECT EXISTS (SELECT 1 FROM fence)
