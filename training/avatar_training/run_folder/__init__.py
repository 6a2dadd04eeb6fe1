"""Everything a run keeps on disk: its record, checkpoints, best.ckpt, and the lock."""
