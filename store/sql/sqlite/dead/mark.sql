-- ?1 [[place of the dead run's report, id of the run that was made for it], …]
UPDATE report SET redriven = u.id
FROM (SELECT value ->> 0 AS seq, unhex(value ->> 1) AS id FROM json_each(?1)) AS u
WHERE report.seq = u.seq
