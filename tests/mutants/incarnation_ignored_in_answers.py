"""What a node promised before it lost its disk counts for the one that it is now."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._is_from_member,
    "self._configuration.incarnations.get(message.sender) == message.sender_incarnation",
    "message.sender in self._configuration.incarnations",
)
