"""The trained generator that an export starts from."""
