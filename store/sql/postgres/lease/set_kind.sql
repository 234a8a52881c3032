-- Ends the current term: its epoch is no longer the highest.
-- $1 kind
INSERT INTO leasehold.lease AS l (name, kind, epoch, expires_at) VALUES ('leader', $1, 0, leasehold.clock_us())
ON CONFLICT (name) DO UPDATE
SET kind = $1, epoch = l.epoch + 1, holder = NULL, expires_at = leasehold.clock_us()
