DELETE FROM leasehold.executor WHERE id = $1
