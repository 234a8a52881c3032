-- From here on nobody can tell a report that was deleted from one that was never written.
-- ?1 everything that finished before this instant may be gone
UPDATE catalog SET pruned_before = max(coalesce(pruned_before, ?1), ?1) WHERE one = 1
