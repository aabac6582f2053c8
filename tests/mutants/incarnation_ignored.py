"""Messages to and from previous incarnations are accepted: a node that lost its disk passes for the one before."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft.receive, "message.recipient_incarnation != state.incarnation", "False")
rewrite(
    Raft._is_from_member,
    "self._configuration.incarnations.get(message.sender) == message.sender_incarnation",
    "message.sender in self._configuration.incarnations",
)
