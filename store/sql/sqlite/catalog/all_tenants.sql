SELECT attributes, source, roster_row FROM tenant WHERE active ORDER BY id
