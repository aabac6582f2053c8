"""Only the first command of a batch is looked up in the session, so other repeated commands are applied again."""

from raft_pkg.server.sessions import _Session
from raft_testbed.mutation import rewrite

rewrite(
    _Session.accepts_all,
    "batch.first_sequence > self.newest",
    "batch.first_sequence not in self.responses",
)
