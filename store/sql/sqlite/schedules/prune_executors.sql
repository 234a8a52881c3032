-- ?1 everything not heard of since this instant
DELETE FROM executor WHERE seen_at < ?1
