SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'report'), 0)
