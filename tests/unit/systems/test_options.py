"""What etcd supports of the contract's environment, and the member ids that it derives from it."""

import pytest

from raft_pkg.errors import ConfigurationError
from systems.etcd.options import EtcdOptions
from tests.unit.adapter.test_environment import VARIABLES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RAFT_ELECTION_TIMEOUT_MS_MAX": "1500"}, "RAFT_ELECTION_TIMEOUT_MS_MAX is 1500"),
        ({"RAFT_HEARTBEAT_INTERVAL_MS": "500"}, "5 heartbeats"),
    ],
)
def test_unsupported_timeouts_are_rejected(change, message):
    with pytest.raises(ConfigurationError, match=message):
        EtcdOptions.from_variables({**VARIABLES, **change})


def test_member_ids_are_those_that_etcd_computes():
    """etcd 3.4.23 logged this id for http://127.0.0.1:24801 in the cluster `raft-testbed` (`starting local member`)."""
    options = EtcdOptions.from_variables(
        {**VARIABLES, "RAFT_PEERS": "raft-0=127.0.0.1:6000", "RAFT_PEERS_INTERNAL": "raft-0=127.0.0.1:24801"}
    )
    assert options.member_names == {"a1bf20df72fb29c5": "raft-0"}
