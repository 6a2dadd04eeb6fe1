"""Real faces: fetched, decoded, and cut into batches."""
