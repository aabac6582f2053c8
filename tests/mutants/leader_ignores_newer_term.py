"""A leader does not step down on a newer term (§5.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.receive,
    "message.term > state.current_term",
    "message.term > state.current_term and state.leader != state.node_id",
)
