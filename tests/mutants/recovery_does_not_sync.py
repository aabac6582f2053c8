"""Recovery takes for durable what the killed process wrote and never synced."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage._continue_segment, "            self._filesystem.sync_file(descriptor)\n", "")
