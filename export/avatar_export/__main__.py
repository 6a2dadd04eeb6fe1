"""The command avatar-export as a process, also as `python -m avatar_export`."""

from avatar_runtime.command.process import run


def main() -> None:
    """Run avatar-export and end the process."""
    run("avatar_export.cli", "avatar-export")


if __name__ == "__main__":
    main()
