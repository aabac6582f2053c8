"""A repeat below the acknowledged low-water mark is applied as a new command."""

from raft_pkg.server.sessions import _Session
from raft_testbed.mutation import rewrite

rewrite(
    _Session.recorded,
    "return _EXPIRED if response is None and sequence < self.acknowledged else response",
    "return response",
)
