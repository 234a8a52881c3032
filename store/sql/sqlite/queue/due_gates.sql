-- Gates at which starts have left the window of their rate while items wait.
-- ?1 now
SELECT id FROM gate WHERE wake_at <= ?1
