"""The acknowledged low-water mark of a session is one too high, so a response is dropped too early."""

from raft_pkg.server.proposals import Proposals
from raft_testbed.mutation import rewrite

rewrite(Proposals._serialize, "pending.acknowledged", "pending.acknowledged + 1")
