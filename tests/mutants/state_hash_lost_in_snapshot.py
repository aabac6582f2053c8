"""A snapshot has no state hash, so a restored node computes another one."""

from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.mutation import rewrite

rewrite(
    SessionedMachine.restore,
    "self.state_hash.digest, self._now_ms, self._last_id, count = header",
    "_, self._now_ms, self._last_id, count = header",
)
