"""What was answered in a session is known to its leader alone: a repeat through another one is applied again."""

from raft_pkg.server.node import Node
from raft_testbed.simulation.mutation import rewrite

rewrite(
    Node._note_applied_term,
    "            self._applied_term = term\n",
    "            self._applied_term = term\n"
    "            for session in self._machine._sessions.values():\n"
    "                session.responses = {}\n",
)
