"""The storage reports writes as durable without syncing them."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage.sync, "self._filesystem.sync_data(segment.descriptor)", "pass")
