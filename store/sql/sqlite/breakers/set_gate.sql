-- ?1 gate, ?2 how many may pass at once; null: all
INSERT INTO gate (id, lim) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET lim = excluded.lim
