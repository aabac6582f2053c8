"""`raftctl`: the command line of clusters, nodes and clients (docs/reference/cli.md)."""

from collections.abc import Sequence

from raft_pkg.errors import (
    ConfigurationError,
    InvalidOperationError,
    OperationError,
    RaftError,
    StorageError,
)

EXIT_NO = 1  # a definite no: absent key, mismatch, violation
EXIT_USAGE = 2  # invalid usage or configuration, unreadable input
EXIT_UNKNOWN = 3  # unavailable, deadline exceeded, unknown outcome
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status. A `RaftError` is printed as one line on stderr."""
    import sys  # noqa: PLC0415 - imports are deferred to keep start-up fast

    try:
        from raft_pkg.cli.app import run  # noqa: PLC0415

        run(sys.argv[1:] if arguments is None else arguments)
    except RaftError as error:
        sys.stderr.write(f"raftctl: {error}\n")
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def exit_status(error: RaftError) -> int:
    """Return the exit status of an error: the same for all commands."""
    match error:
        case ConfigurationError() | StorageError() | InvalidOperationError():
            return EXIT_USAGE
        case OperationError():
            return EXIT_UNKNOWN
        case _:
            return getattr(error, "exit_status", EXIT_NO)
