"""A snapshot has no sessions (dissertation §6.3: they are part of the state)."""

from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.mutation import rewrite

rewrite(SessionedMachine.snapshot, "len(self._sessions)", "0")
rewrite(SessionedMachine.snapshot, "self._sessions.items()", "()")
