-- From here on nobody can tell a report that was deleted from one that was never written. Before the reports go, and in a
-- statement of its own: an apply holds this row for long, and the lease must not be held while it is waited for.
-- $1 keep
UPDATE leasehold.catalog SET pruned_before = greatest(pruned_before, leasehold.now_us() - $1)
WHERE one = 1 AND (SELECT greatest(finished_at, due) FROM leasehold.report ORDER BY seq LIMIT 1) < leasehold.now_us() - $1
