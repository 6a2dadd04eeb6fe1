"""`python -m avatar_runtime` is avatar-gen."""

from avatar_runtime.command.process import avatar_gen

if __name__ == "__main__":
    avatar_gen()
