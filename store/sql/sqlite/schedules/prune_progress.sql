-- What belongs to runs of which a report was deleted, unless the run is not over.
-- ?1 [id, …]
DELETE FROM progress WHERE id IN (SELECT unhex(value) FROM json_each(?1))
   AND NOT EXISTS (SELECT 1 FROM running WHERE running.id = progress.id)
