"""The command avatar-gen."""
