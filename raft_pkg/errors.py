"""The errors of raft_pkg, each with what a caller can do about it."""


class RaftError(Exception):
    """Base class of all errors raised by raft_pkg."""


class ConfigurationError(RaftError):
    """An option or a file is invalid. Correct what the message names."""


class StorageError(RaftError):
    """The data directory is unusable in its present state, or a call on it failed. The message names the file."""


class DirectoryInUseError(StorageError):
    """Another process has locked the data directory. Stop that process, or use another directory."""


class ForeignDirectoryError(StorageError):
    """The data directory belongs to another node. Use that node's identity, or another directory."""


class CorruptLogError(StorageError):
    """The log or the snapshot is damaged in a way that no crash causes. Ignoring it could lose acknowledged entries.

    Restore the directory from a backup, or remove the node from the cluster and add it again with an empty directory.
    """


class OperationError(RaftError):
    """A client's operation did not succeed."""


class OperationFailedError(OperationError):
    """The operation was definitely not executed. It is safe to retry."""


class OutcomeUnknownError(OperationError):
    """The operation may or may not have been executed, now or later. A retry may execute it twice."""


class InvalidOperationError(OperationError):
    """The operation was definitely not executed, and a retry fails too: it exceeds a limit that the message names."""
