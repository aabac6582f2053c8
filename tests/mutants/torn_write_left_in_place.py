"""A torn write is passed over at recovery and left where the next records go."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage._continue_segment, "self._filesystem.truncate(descriptor, read.end)", "pass")
rewrite(FileStorage._continue_segment, "size = read.end if torn_bytes else read.size", "size = read.size")
