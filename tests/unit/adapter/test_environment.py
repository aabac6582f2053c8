"""The environment variables of a node."""

from pathlib import Path

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.adapter import NodeEnvironment

VARIABLES = {
    "RAFT_ID": "raft-0",
    "RAFT_LISTEN": "127.0.0.1:6000",
    "RAFT_HTTP": "127.0.0.1:6080",
    "RAFT_PEERS": "raft-0=127.0.0.1:6000,raft-1=127.0.0.1:7000",
    "RAFT_PEERS_INTERNAL": "raft-0=127.0.0.1:6001,raft-1=127.0.0.1:7001",
    "RAFT_DATA_DIR": "/data",
    "RAFT_ELECTION_TIMEOUT_MS_MIN": "1000",
    "RAFT_ELECTION_TIMEOUT_MS_MAX": "2000",
    "RAFT_HEARTBEAT_INTERVAL_MS": "100",
}


def test_parses_every_variable():
    assert NodeEnvironment.from_variables(VARIABLES) == NodeEnvironment(
        node_id="raft-0",
        listen="127.0.0.1:6000",
        http="127.0.0.1:6080",
        peers={"raft-0": "127.0.0.1:6000", "raft-1": "127.0.0.1:7000"},
        internal_peers={"raft-0": "127.0.0.1:6001", "raft-1": "127.0.0.1:7001"},
        data_dir=Path("/data"),
        election_timeout_ms_min=1000,
        election_timeout_ms_max=2000,
        heartbeat_interval_ms=100,
    )


@pytest.mark.parametrize("name", VARIABLES)
def test_a_missing_variable_is_named(name):
    with pytest.raises(ConfigurationError, match=f"{name} is not set"):
        NodeEnvironment.from_variables({key: value for key, value in VARIABLES.items() if key != name})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RAFT_PEERS_INTERNAL": "raft-0=127.0.0.1:6001"}, "RAFT_PEERS and RAFT_PEERS_INTERNAL must name the same"),
        ({"RAFT_PEERS_INTERNAL": "raft-0"}, "RAFT_PEERS_INTERNAL: 'raft-0' is not ID=HOST:PORT"),
        ({"RAFT_ID": "raft-9"}, "raft-9"),
        ({"RAFT_HEARTBEAT_INTERVAL_MS": "soon"}, "RAFT_HEARTBEAT_INTERVAL_MS is 'soon'"),
    ],
)
def test_an_invalid_variable_is_named(change, message):
    with pytest.raises(ConfigurationError, match=message):
        NodeEnvironment.from_variables({**VARIABLES, **change})
