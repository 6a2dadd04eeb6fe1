"""The command avatar-train as a process, also as `python -m avatar_training`."""

from avatar_runtime.command.process import run


def main() -> None:
    """Run avatar-train and end the process."""
    run("avatar_training.cli", "avatar-train")


if __name__ == "__main__":
    main()
