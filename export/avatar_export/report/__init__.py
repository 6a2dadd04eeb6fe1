"""Describes a model: the report of an export, and the metadata of a file."""
