-- Records of enqueued runs that nobody knows any more: neither the queue nor a report. No fence: whoever asks, they are of
-- no use.
-- $1 keep, $2 limit
DELETE FROM leasehold.enqueued WHERE ctid = ANY(ARRAY(
    SELECT e.ctid FROM leasehold.enqueued AS e
    WHERE e.at < leasehold.now_us() - $1
      AND NOT EXISTS (SELECT 1 FROM leasehold.ahead AS x WHERE x.job_key = e.job_key AND x.id = e.id)
      AND NOT EXISTS (SELECT 1 FROM leasehold.ready AS x WHERE x.job_key = e.job_key AND x.id = e.id)
      AND NOT EXISTS (SELECT 1 FROM leasehold.running AS x WHERE x.id = e.id)
      AND NOT EXISTS (SELECT 1 FROM leasehold.report AS x WHERE x.job_key = e.job_key AND x.id = e.id)
    ORDER BY e.at LIMIT $2))
