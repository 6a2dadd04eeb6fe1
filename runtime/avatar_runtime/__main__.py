"""`python -m avatar_runtime` is avatar-gen."""

from avatar_runtime.cli import main

main(prog_name="avatar-gen")
