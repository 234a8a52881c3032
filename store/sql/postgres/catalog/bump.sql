-- The row lock makes appliers wait for one another; the later one then finds another revision.
-- $1 the revision that the plan was made from
UPDATE leasehold.catalog SET revision = revision + 1 WHERE revision = $1
