-- SQLite has no roles: whoever can open the file can read and write all of it. The number is used on PostgreSQL.
SELECT 1;
