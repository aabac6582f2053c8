"""A node that lost its disk is taken for the one that it was."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft.receive, "message.recipient_incarnation != state.incarnation", "False")
rewrite(
    Raft._is_from_member,
    "self._configuration.incarnations.get(message.sender) == message.sender_incarnation",
    "message.sender in self._configuration.incarnations",
)
