-- Keeps appliers out while what nothing refers to is deleted: a plan may be about to refer to it again.
SELECT revision FROM leasehold.catalog FOR UPDATE
