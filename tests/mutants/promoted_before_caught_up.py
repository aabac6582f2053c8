"""A learner is promoted however much of the log it lacks (dissertation §4.2.1)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(Replication.has_caught_up, "missing <= self._state.config.appends_in_flight_max", "True")
