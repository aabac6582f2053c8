"""The old snapshot is removed before the new one has its name."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(
    FileStorage._commit_snapshot,
    "self._snapshot = new.finish()",
    """
self._directory.remove_before(segment=0, snapshot=new.header.index)
self._snapshot = new.finish()
""",
)
