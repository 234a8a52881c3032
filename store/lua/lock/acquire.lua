-- Takes the lock if it is free or already the candidate's own. The key expires by itself, on Redis's clock.
-- KEYS[1] lock; ARGV[1] holder, ARGV[2] ttl in milliseconds
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
