SELECT min(not_before) FROM ahead
