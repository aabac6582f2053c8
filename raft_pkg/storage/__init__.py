"""What a node must not forget: term, vote, log and snapshot, on disk or in memory."""

from raft_pkg.storage._filesystem import Filesystem
from raft_pkg.storage.file import FileStorage
from raft_pkg.storage.inspection import InspectedRecord, LogBegin, LogReport, inspect_directory, verify_directory
from raft_pkg.storage.interface import Recovered, SnapshotWriter, Storage
from raft_pkg.storage.memory import MemoryStorage

__all__ = [
    "FileStorage",
    "Filesystem",
    "InspectedRecord",
    "LogBegin",
    "LogReport",
    "MemoryStorage",
    "Recovered",
    "SnapshotWriter",
    "Storage",
    "inspect_directory",
    "verify_directory",
]
