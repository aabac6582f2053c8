"""Every disk has the same incarnation."""

from raft_pkg.storage.file import FileStorage
from raft_testbed.simulation.mutation import rewrite

rewrite(
    FileStorage._recover,
    "else self._new_incarnation()",
    "else 1",
)
