"""A new leader begins a membership change before it has committed an entry of its term."""

from raft_pkg.core.membership_changes import MembershipChanges
from raft_testbed.mutation import rewrite

rewrite(MembershipChanges._why_not_now, "not self._state.has_committed_in_own_term", "False")
