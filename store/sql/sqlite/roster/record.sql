-- ?1 up to which request, ?2 config of a finished pass or null, ?3 its instant
UPDATE roster SET done = max(done, ?1), pass_config = coalesce(?2, pass_config), pass_at = coalesce(?3, pass_at)
