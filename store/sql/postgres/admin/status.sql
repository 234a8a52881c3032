SELECT leasehold.now_us(),
       (SELECT count(*) FROM leasehold.ready)
           + (SELECT count(*) FROM leasehold.ahead WHERE not_before <= leasehold.now_us()) AS depth,
       least((SELECT min(not_before) FROM leasehold.ready),
             (SELECT min(not_before) FROM leasehold.ahead WHERE not_before <= leasehold.now_us())) AS oldest,
       (SELECT count(*) FROM leasehold.ahead WHERE not_before > leasehold.now_us()) AS waiting,
       (SELECT count(*) FROM leasehold.running WHERE claim_id IS NOT NULL) AS running,
       (SELECT min(next_due) FROM leasehold.job WHERE next_due IS NOT NULL) AS next_due,
       (SELECT revision FROM leasehold.catalog) AS revision,
       (SELECT count(*) FROM leasehold.tenant WHERE active) AS tenants,
       (SELECT count(*) FROM leasehold.job WHERE active) AS jobs,
       (SELECT count(*) FROM leasehold.job AS j WHERE j.active AND j.every_us IS NOT NULL AND j.next_due IS NULL
           AND coalesce(j.paused_until, 0) <= leasehold.now_us()
           AND NOT EXISTS (SELECT 1 FROM leasehold.ahead AS q WHERE q.job_key = j.key AND q.every_us IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM leasehold.ready AS q WHERE q.job_key = j.key AND q.every_us IS NOT NULL)
           AND NOT EXISTS (SELECT 1 FROM leasehold.running AS q WHERE q.job_key = j.key AND q.every_us IS NOT NULL)
       ) AS stalled,
       (SELECT count(*) FROM leasehold.job WHERE active AND paused_until > leasehold.now_us()) AS paused
