"""Teach a generator to draw the same faces at twice the size."""
