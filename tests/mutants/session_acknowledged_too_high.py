"""The mark below which a session's answers go is one too high."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(Node._batch, "pending.acknowledged", "pending.acknowledged + 1")
