"""A snapshot has no state hash: who begins with one chains to nothing."""

from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.mutation import rewrite

rewrite(
    SessionedMachine.restore,
    "self.state_hash.digest, self._now_ms, self._last_id, count = header",
    "_, self._now_ms, self._last_id, count = header",
)
