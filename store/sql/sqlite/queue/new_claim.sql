-- ?1 claim, ?2 executor, ?3 lease until
INSERT INTO claim (id, executor, lease_until) VALUES (?1, ?2, ?3)
