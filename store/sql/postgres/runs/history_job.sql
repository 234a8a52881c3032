-- $1 tenant, $2 job
SELECT j.key, j.active,
       greatest(coalesce(nullif(j.accounted, 0), j.next_due - 1, 0), j.last_fired), j.next_due, j.paused_at, j.paused_until,
       (SELECT pruned_before FROM leasehold.catalog), leasehold.now_us()
FROM leasehold.job AS j WHERE j.tenant_id = $1 AND j.name = $2
