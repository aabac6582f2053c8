"""A learner is promoted before it has caught up (dissertation §4.2.1)."""

from raft_pkg.core.replication import Replication
from raft_testbed.mutation import rewrite

rewrite(Replication.has_caught_up, "missing <= self._state.config.appends_in_flight_max", "True")
