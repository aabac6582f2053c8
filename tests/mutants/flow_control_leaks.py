"""Acknowledged appends still count as in flight, until no more are sent."""

from raft_pkg.core.progress import Progress
from raft_testbed.mutation import rewrite

rewrite(Progress.matched, "self.in_flight.popleft()", "break")
