"""A snapshot has the highest id of open sessions only, so the id of a later session that has expired is reused."""

from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.mutation import rewrite

rewrite(SessionedMachine.snapshot, "self._last_id", "max(self._sessions, default=0)")
