"""Every disk has the same incarnation."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.mutation import rewrite

rewrite(FileStorage._recover, "self._new_incarnation()", "1")
