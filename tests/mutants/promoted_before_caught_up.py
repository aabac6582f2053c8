"""A learner is promoted however much of the log it lacks (dissertation §4.2.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(Raft._has_caught_up, "missing <= self.config.appends_in_flight_max", "True")
