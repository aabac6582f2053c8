"""The environment variables that the testbed sets for a node (docs/reference/contract.md)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from raft_pkg.addresses import parse_peers
from raft_pkg.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class NodeEnvironment:
    """The configuration of one node."""

    node_id: str
    listen: str
    """HOST:PORT on which to serve clients."""
    http: str
    """HOST:PORT on which to answer probes."""
    peers: Mapping[str, str]
    """HOST:PORT at which clients reach each node, by node id."""
    internal_peers: Mapping[str, str]
    """HOST:PORT at which the nodes reach each other, by node id."""
    data_dir: Path
    election_timeout_ms_min: int
    election_timeout_ms_max: int
    heartbeat_interval_ms: int

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self:
        """Parse environment variables. Raise `ConfigurationError` that names a missing or invalid variable."""
        try:
            environment = cls(
                node_id=variables["RAFT_ID"],
                listen=variables["RAFT_LISTEN"],
                http=variables["RAFT_HTTP"],
                peers=parse_peers(variables["RAFT_PEERS"], "RAFT_PEERS"),
                internal_peers=parse_peers(variables["RAFT_PEERS_INTERNAL"], "RAFT_PEERS_INTERNAL"),
                data_dir=Path(variables["RAFT_DATA_DIR"]).absolute(),
                election_timeout_ms_min=_milliseconds(variables, "RAFT_ELECTION_TIMEOUT_MS_MIN"),
                election_timeout_ms_max=_milliseconds(variables, "RAFT_ELECTION_TIMEOUT_MS_MAX"),
                heartbeat_interval_ms=_milliseconds(variables, "RAFT_HEARTBEAT_INTERVAL_MS"),
            )
        except KeyError as missing:
            raise ConfigurationError(f"{missing.args[0]} is not set (docs/reference/contract.md)") from None
        if (
            environment.node_id not in environment.peers
            or environment.peers.keys() != environment.internal_peers.keys()
        ):
            raise ConfigurationError(
                f"RAFT_PEERS and RAFT_PEERS_INTERNAL must name the same nodes, {environment.node_id} among them"
            )
        return environment


def _milliseconds(variables: Mapping[str, str], name: str) -> int:
    try:
        return int(variables[name])
    except ValueError:
        raise ConfigurationError(f"{name} is {variables[name]!r}, which is not an integer") from None
