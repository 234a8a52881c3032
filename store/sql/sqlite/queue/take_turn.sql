-- Whoever moves the second on lets that second's share of late items go: several executors together never exceed it.
-- ?1 second
UPDATE recovery SET second = ?1 WHERE second <> ?1
