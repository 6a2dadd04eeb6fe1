"""The file formats a model is written in."""
