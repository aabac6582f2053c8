"""A node goes on by a configuration whose entry was replaced (§6, the newest one in its log)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._truncate_from,
    """
if self._configurations.truncate_from(index):
    ...
""",
    "",
)
