"""A voter enters the term of a pre-vote that it grants (dissertation §9.6)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft.receive,
    "self._elections.handle_pre_vote(message, body)",
    """
self._elections.handle_pre_vote(message, body)
reply = state.ready.messages.pop().body
if reply.vote_granted:
    self._become_follower(body.next_term, None, "a pre-vote")
state.reply(message, reply)
""",
)
