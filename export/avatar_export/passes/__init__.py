"""Rewrites of a float graph, one per file; `pipeline.passes` lists them in order."""
