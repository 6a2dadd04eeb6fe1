"""Rewrites of the graph, one a file. Each is a function model -> (a new model, whether anything was changed)."""
