"""A new leader loses the responses of all sessions, so repeats are applied again."""

from raft_pkg.server.proposals import Proposals
from raft_testbed.mutation import rewrite

rewrite(
    Proposals._note_applied_term,
    "self._applied_term = term",
    """
self._applied_term = term
for session in self._applier._machine._sessions.values():
    session.responses = {}
""",
)
