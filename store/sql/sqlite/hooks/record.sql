-- ?1 up to which report
INSERT INTO hook_tail (one, seq) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET seq = excluded.seq
