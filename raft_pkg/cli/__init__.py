"""`raftctl`: everything that people and scripts do with a cluster. See docs/reference/cli.md."""

from collections.abc import Sequence

from raft_pkg.errors import (
    ConfigurationError,
    InvalidOperationError,
    OperationError,
    RaftError,
    StorageError,
)

EXIT_NO = 1  # a definite no: no such key, another value, a violation
EXIT_USAGE = 2  # wrong usage, configuration or unreadable input
EXIT_UNKNOWN = 3  # unavailable, or the deadline passed
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status; an error is one line on stderr, whatever its kind."""
    import sys  # noqa: PLC0415 - in here like everything that costs time

    try:
        from raft_pkg.cli.app import app  # noqa: PLC0415

        app(args=arguments, prog_name="raftctl")
    except RaftError as error:
        sys.stderr.write(f"raftctl: {error}\n")
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def exit_status(error: RaftError) -> int:
    """The exit status that stands for an error everywhere."""
    match error:
        case ConfigurationError() | StorageError() | InvalidOperationError():
            return EXIT_USAGE
        case OperationError():
            return EXIT_UNKNOWN
        case _:
            return getattr(error, "exit_status", EXIT_NO)
