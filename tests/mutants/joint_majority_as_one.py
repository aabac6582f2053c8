"""While two configurations decide together, one majority of all their voters is enough (§6, one of each)."""

from raft_pkg.core.configuration import Electorate
from raft_testbed.mutation import rewrite

rewrite(
    Electorate.__init__,
    "groups = [group for group in (configuration.voters, configuration.outgoing) if group]",
    "groups = [tuple({*configuration.voters, *configuration.outgoing})]",
)
