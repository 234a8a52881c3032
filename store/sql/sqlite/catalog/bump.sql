-- ?1 the revision that the plan was made from
UPDATE catalog SET revision = revision + 1 WHERE revision = ?1
