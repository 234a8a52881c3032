-- $1 keys, $2 now
UPDATE leasehold.job_version SET valid_to = $2 WHERE job_key = ANY($1) AND valid_to IS NULL
