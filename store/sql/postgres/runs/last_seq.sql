-- The last number that was drawn. Numbers are drawn under the lock (see leasehold.order_reports), so with the lock in
-- hand whoever drew one has committed; the newest row itself may have been pruned.
WITH o AS MATERIALIZED (SELECT leasehold.order_reports())
SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM o, leasehold.report_seq_seq AS s
