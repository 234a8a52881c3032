-- $1 keys, $2 versions, $3 definitions, $4 now: the instant at which close_versions has ended the versions before
INSERT INTO leasehold.job_version (job_key, version, definition_id, valid_from)
SELECT key, version, definition_id, $4
FROM unnest($1::bigint[], $2::integer[], $3::uuid[]) AS u(key, version, definition_id)
