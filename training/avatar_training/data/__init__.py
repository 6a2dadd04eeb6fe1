"""Real faces: downloaded, decoded, and cut into batches."""
