-- $1 id, $2 host, $3 pid, $4 version, $5 slots, $6 running, $7 queues, $8 draining, $9 abilities
INSERT INTO leasehold.executor (id, host, pid, version, slots, running, queues, draining, seen_at, abilities)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, leasehold.clock_us(), $9)
ON CONFLICT (id) DO UPDATE SET running = $6, slots = $5, queues = $7, draining = $8, seen_at = leasehold.clock_us(), abilities = $9
