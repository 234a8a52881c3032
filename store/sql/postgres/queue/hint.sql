-- One notification a batch, without ids; losing it costs one poll interval (invariant I15).
SELECT pg_notify('leasehold_work', '')
