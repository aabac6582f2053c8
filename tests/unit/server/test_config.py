"""ServerConfig: invalid values are rejected with the name of the option, before anything is created."""

import pytest

from raft_pkg.errors import ConfigurationError
from raft_pkg.server.config import ServerConfig

PEERS = {"raft-0": "127.0.0.1:6000", "raft-1": "127.0.0.1:6001", "raft-2": "127.0.0.1:6002"}


def config(tmp_path, **changes):
    """Return a valid configuration with changes."""
    options = {"node_id": "raft-0", "listen": "0.0.0.0:6000", "peers": PEERS, "data_dir": tmp_path / "data", **changes}
    return ServerConfig(**options)


def test_time_outs_are_passed_to_the_core(tmp_path):
    raft = config(tmp_path, election_timeout_min=1.0, election_timeout_max=2.0, heartbeat_interval=0.25).raft
    assert (raft.election_timeout_min, raft.election_timeout_max, raft.heartbeat_interval) == (1.0, 2.0, 0.25)


def test_lease_and_log_tail_options_are_passed_to_the_core(tmp_path):
    raft = config(tmp_path, lease_reads=True, clock_drift_max=0.25, tail_entries=7).raft
    assert (raft.lease_reads, raft.clock_drift_max, raft.tail_entries_max) == (True, 0.25, 7)
    assert not config(tmp_path).raft.lease_reads


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"node_id": "raft-9"}, r"--id raft-9 is not among --peers \(raft-0, raft-1, raft-2\)"),
        ({"peers": {}}, r"--id raft-0 is not among --peers \(none given\)"),
        ({"listen": "6000"}, r"--listen\W+'6000' is not HOST:PORT"),
        ({"listen": "host:"}, "--listen"),
        ({"listen": ":6000"}, "--listen"),
        ({"listen": "host:65536"}, "--listen"),
        ({"listen": "host:٣"}, "--listen"),
        ({"peers": {**PEERS, "raft-1": "nowhere"}}, r"--peers\W+raft-1\W+'nowhere' is not HOST:PORT"),
        ({"http": "6080"}, r"--http\W+'6080' is not HOST:PORT"),
        ({"heartbeat_interval": 1.0}, r"heartbeat_interval \(1.0 s\)"),
        ({"election_timeout_min": 0.5}, r"election_timeout_min \(0.5 s\)"),
        ({"peers": {**PEERS, "r" * 256: "h:1"}}, r"--peers\W+voters\W+'r{256}'"),
        ({"peers": {**PEERS, **{f"r{number}": "h:1" for number in range(200)}}}, r"--peers\W+voters\W+203 members"),
        ({"snapshot_entries": 0}, "--snapshot-entries: 0 must be above 0"),
        ({"snapshot_bytes": -1}, "--snapshot-bytes: -1 must be above 0"),
        ({"session_ttl": 0.0}, "--session-ttl-ms: 0.0 must be above 0"),
        ({"session_ttl": float("nan")}, "--session-ttl-ms: nan must be above 0"),
        ({"tail_entries": -1}, "tail_entries_max must be at least 0, not -1"),
        ({"clock_drift_max": 1.0}, r"clock_drift_max must be at least 0 and below 1, not 1\.0"),
    ],
)
def test_an_invalid_value_is_rejected_with_the_option(tmp_path, changes, why):
    with pytest.raises(ConfigurationError, match=why):
        config(tmp_path, **changes)
    assert not (tmp_path / "data").exists()
