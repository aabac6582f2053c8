"""What a node must not forget: term, vote and log, on disk or in memory."""

from raft_pkg.storage._filesystem import Filesystem
from raft_pkg.storage.file import FileStorage
from raft_pkg.storage.inspection import InspectedRecord, LogReport, inspect_directory, verify_directory
from raft_pkg.storage.interface import Recovered, Storage
from raft_pkg.storage.memory import MemoryStorage

__all__ = [
    "FileStorage",
    "Filesystem",
    "InspectedRecord",
    "LogReport",
    "MemoryStorage",
    "Recovered",
    "Storage",
    "inspect_directory",
    "verify_directory",
]
