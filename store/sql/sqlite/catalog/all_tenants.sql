SELECT attributes FROM tenant WHERE active ORDER BY id
