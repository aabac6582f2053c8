"""A torn write is passed over at recovery and left where the next record goes."""

from raft_pkg.simulation.mutation import rewrite
from raft_pkg.storage.file import FileStorage

rewrite(FileStorage._continue_segment, "self._filesystem.truncate(descriptor, read.end)", "pass")
