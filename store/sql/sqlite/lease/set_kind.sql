-- Ends the current term: its epoch is no longer the highest.
-- ?1 kind, ?2 now
INSERT INTO lease (name, kind, epoch, expires_at) VALUES ('leader', ?1, 0, ?2)
ON CONFLICT (name) DO UPDATE SET kind = ?1, epoch = lease.epoch + 1, holder = NULL, expires_at = ?2
