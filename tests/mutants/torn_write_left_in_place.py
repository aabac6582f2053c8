"""Recovery ignores a torn write without truncating it."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage._continue_segment, "self._filesystem.truncate(descriptor, read.end)", "pass")
rewrite(FileStorage._continue_segment, "size = read.end if torn_bytes else read.size", "size = read.size")
