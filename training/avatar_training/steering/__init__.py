"""Steering: from people's grades of faces to a generator that draws whole faces."""
