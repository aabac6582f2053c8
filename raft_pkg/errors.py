"""The errors that users of raft_pkg meet, each with what a caller can do about it."""


class RaftError(Exception):
    """Base of all errors raised by raft_pkg."""


class ConfigurationError(RaftError):
    """The caller asked for something that can't be: correct the option or file that the message names."""


class StorageError(RaftError):
    """The data directory can't be used as it is. Nothing in it was changed. The message names file and offset."""


class DirectoryInUseError(StorageError):
    """Another process holds the data directory: stop it, or use another directory."""


class ForeignDirectoryError(StorageError):
    """The data directory belongs to another node: use that node's identity, or another directory."""


class CorruptLogError(StorageError):
    """The log or the snapshot is damaged, and not by a crash. Doing without it would forget promises made to others.

    Restore the directory from a copy, or remove the node from the cluster and add it anew with an empty directory.
    """


class OperationError(RaftError):
    """A client's operation did not succeed."""


class OperationFailedError(OperationError):
    """The operation surely did not happen; it may be tried again."""


class OutcomeUnknownError(OperationError):
    """Nobody can say whether the operation happened or will happen; trying again may apply it twice."""


class InvalidOperationError(OperationError):
    """The operation surely did not happen and never will: its key or value breaks a limit that the message names."""
