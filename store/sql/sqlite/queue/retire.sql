DELETE FROM executor WHERE id = ?1
