"""Answered appends still count as in flight, until nothing may be sent any more."""

from raft_pkg.core.progress import Progress
from raft_testbed.mutation import rewrite

rewrite(Progress.matched, "self.in_flight.popleft()", "break")
