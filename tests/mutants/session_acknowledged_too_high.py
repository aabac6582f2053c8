"""The mark below which a session's answers go is one too high."""

from raft_pkg.server.proposals import Proposals
from raft_testbed.mutation import rewrite

rewrite(Proposals._serialize, "pending.acknowledged", "pending.acknowledged + 1")
