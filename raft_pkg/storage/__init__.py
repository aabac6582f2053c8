"""The persistent state of a node (term, vote, log and snapshot), on disk or in memory."""

from raft_pkg.storage._filesystem import Filesystem
from raft_pkg.storage.file import FileStorage
from raft_pkg.storage.inspection import InspectedRecord, LogReport, LogStart, inspect_directory, verify_directory
from raft_pkg.storage.interface import Recovered, SnapshotWriter, Storage
from raft_pkg.storage.memory import MemoryStorage

__all__ = [
    "FileStorage",
    "Filesystem",
    "InspectedRecord",
    "LogReport",
    "LogStart",
    "MemoryStorage",
    "Recovered",
    "SnapshotWriter",
    "Storage",
    "inspect_directory",
    "verify_directory",
]
