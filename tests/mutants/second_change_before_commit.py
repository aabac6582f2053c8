"""A leader begins a membership change before the previous one is committed (§6)."""

from raft_pkg.core.membership_changes import MembershipChanges
from raft_testbed.mutation import rewrite

rewrite(
    MembershipChanges._why_not_now,
    "self._configuration.current.is_joint or self._configuration.index > self._state.commit_index",
    "False",
)
