-- What was done once so long ago that the reports of it are gone, and whose run is over. No fence: whoever asks, it is of no
-- use.
-- $1 keep, $2 limit
DELETE FROM leasehold.once WHERE ctid = ANY(ARRAY(
    SELECT o.ctid FROM leasehold.once AS o
    WHERE o.begun_at < leasehold.now_us() - $1
      AND NOT EXISTS (SELECT 1 FROM leasehold.running AS r WHERE r.id = o.run_id)
    ORDER BY o.begun_at LIMIT $2))
