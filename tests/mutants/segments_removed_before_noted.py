"""Old segments are removed before `node.json` says that the log begins after them."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(
    FileStorage.compact,
    """
self._note_position(segment)
self._remove_what_was_replaced(segment)
""",
    """
self._remove_what_was_replaced(segment)
self._note_position(segment)
""",
)
