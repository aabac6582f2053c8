"""What was answered in a session is known to its leader alone: a repeat through another one is applied again."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(
    Node._note_applied_term,
    "self._applied_term = term",
    """
self._applied_term = term
for session in self._machine._sessions.values():
    session.responses = {}
""",
)
