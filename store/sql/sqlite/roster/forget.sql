-- Sources that the config no longer names.
-- ?1 [[name, …], …] as put_sources
DELETE FROM roster_source WHERE name NOT IN (SELECT value ->> 0 FROM json_each(?1))
