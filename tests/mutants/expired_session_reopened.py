"""A command in an expired session opens the session again, so a repeat is applied again."""

from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.mutation import rewrite

rewrite(SessionedMachine._use, "return None", "session = self._sessions[session_id] = _Session(60_000, self._now_ms)")
