"""Messages from previous incarnations are accepted, so votes and acknowledgements from a lost disk count."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._is_from_member,
    "self._configuration.incarnations.get(message.sender) == message.sender_incarnation",
    "message.sender in self._configuration.incarnations",
)
