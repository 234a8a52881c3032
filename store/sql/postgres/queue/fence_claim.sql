-- A claim whose answer was lost may still be under way on the server. Minting its row here waits for a statement that
-- has minted it already, and dooms one that has not: its own insert then violates the key. The row expires by itself.
-- $1 claim, $2 executor, $3 ttl
INSERT INTO leasehold.claim (id, executor, lease_until) VALUES ($1, $2, leasehold.clock_us() + $3)
ON CONFLICT DO NOTHING
