-- Extends the lock if it is still the holder's. One that has expired is not taken again here: whoever lost it must
-- be elected anew, with a new term.
-- KEYS[1] lock; ARGV[1] holder, ARGV[2] ttl in milliseconds
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
