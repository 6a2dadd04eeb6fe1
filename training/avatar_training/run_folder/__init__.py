"""A run's folder: checkpoints, resuming, the lock, and what is kept."""
