"""Messages of storage errors: the file, what failed, and what to do about it."""

import errno
from pathlib import Path

from raft_pkg.errors import CorruptLogError, StorageError

_ADVICE = {
    errno.ENOSPC: "free space on its volume, then start the node again",
    errno.EDQUOT: "free space or raise the quota, then start the node again",
    errno.EIO: "the device failed: check it and the kernel's log before starting the node again",
    errno.EACCES: "let this process's user read and write the data directory and all in it",
    errno.EPERM: "let this process's user read and write the data directory and all in it",
    errno.EROFS: "mount its volume for writing",
    errno.ENOTDIR: "name a directory",
    errno.EISDIR: "move that directory away: a file belongs there",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def storage_error(action: str, path: Path, error: OSError) -> StorageError:
    """Return the error for a failed system call. `action` completes "cannot …"."""
    advice = _ADVICE.get(error.errno or 0)
    return StorageError(f"{path}: cannot {action}: {error.strerror or error}" + (f"; {advice}" if advice else ""))


def corrupt_log_error(path: Path, offset: int, what: str) -> CorruptLogError:
    """Return the error for damage at an offset. `what` is a sentence without its full stop."""
    return CorruptLogError(
        f"{path}: byte {offset}: {what}. This is damage, not a write torn by a crash; nothing was changed. "
        "Restore the data directory from a backup, or remove the node from the cluster and add it with an empty one"
    )
