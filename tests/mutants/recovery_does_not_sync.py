"""Recovery does not sync what the previous process wrote, and takes it for durable."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage._continue_segment, "            self._filesystem.sync_file(descriptor)\n", "")
