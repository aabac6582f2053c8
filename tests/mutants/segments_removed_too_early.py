"""Old segments are removed before `node.json` records the new start of the log."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(
    FileStorage.compact,
    """
self._write_position(segment)
self._remove_obsolete_files(segment)
""",
    """
self._remove_obsolete_files(segment)
self._write_position(segment)
""",
)
