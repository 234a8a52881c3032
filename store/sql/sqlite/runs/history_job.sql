-- ?1 tenant, ?2 job
SELECT key, active, max(coalesce(nullif(accounted, 0), next_due - 1, 0), coalesce(last_fired, 0)), next_due, paused_at,
       paused_until, (SELECT pruned_before FROM catalog)
FROM job WHERE tenant_id = ?1 AND name = ?2
