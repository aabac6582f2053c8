"""A refused vote resets the election timer, so outdated candidates delay good ones (§5.2)."""

from raft_pkg.core.elections import Elections
from raft_testbed.mutation import rewrite

rewrite(
    Elections.handle_request_vote,
    """
if granted:
    ...
""",
    "...",
)
