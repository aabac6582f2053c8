"""The storage says that all is on disk and has not asked the system for it."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage.sync, "self._filesystem.sync_data(segment.descriptor)", "pass")
