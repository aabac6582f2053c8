"""Of commands in a row only the first is looked up: others that were applied before are applied again."""

from raft_pkg.server.sessions import _Session
from raft_testbed.mutation import rewrite

rewrite(
    _Session.takes_all,
    "row.first_sequence > self.newest",
    "row.first_sequence not in self.responses",
)
