"""In joint consensus, one majority of all voters suffices (§6: a majority of each configuration)."""

from raft_pkg.core.configuration import Electorate
from raft_testbed.mutation import rewrite

rewrite(
    Electorate.__init__,
    "groups = [group for group in (configuration.voters, configuration.outgoing) if group]",
    "groups = [tuple({*configuration.voters, *configuration.outgoing})]",
)
