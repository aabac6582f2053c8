"""Every disk has the same incarnation."""

from raft_pkg.simulation.mutation import rewrite
from raft_pkg.storage.file import FileStorage

rewrite(
    FileStorage._recover,
    "else self._new_incarnation()",
    "else 1",
)
