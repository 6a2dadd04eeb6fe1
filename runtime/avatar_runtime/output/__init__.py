"""Pictures become files, whole or not at all, one or a million."""
