-- ?1 [[[id, key, tenant, cause, due, attempt, outcome],
--      [next attempt, started, finished, executor], [error, result, code, fingerprint]], …]
INSERT INTO report (id, job_key, tenant_id, cause, due, attempt, outcome, next_attempt_at, started_at, finished_at,
                    executor, error, result, code, fingerprint)
SELECT unhex(value ->> '$[0][0]'), value ->> '$[0][1]', value ->> '$[0][2]', value ->> '$[0][3]',
       value ->> '$[0][4]', value ->> '$[0][5]', value ->> '$[0][6]',
       value ->> '$[1][0]', value ->> '$[1][1]', value ->> '$[1][2]', unhex(value ->> '$[1][3]'),
       value ->> '$[2][0]', value ->> '$[2][1]', value ->> '$[2][2]', value ->> '$[2][3]'
FROM json_each(?1)
