"""A voter takes over the term of a pre-vote that it grants (dissertation §9.6, it promises nothing)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._handle_pre_vote,
    "self._reply(...)",
    """
if granted:
    self._become_follower(request.next_term, None, now, "a pre-vote")
self._reply(...)
""",
)
