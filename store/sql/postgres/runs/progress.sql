-- $1 id
SELECT p.attempt, p.percent, p.message, p.log, p.at FROM leasehold.progress AS p WHERE p.id = $1
