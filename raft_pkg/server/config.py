"""What one node is told at its start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raft_pkg.addresses import parse_address
from raft_pkg.core.config import RaftConfig
from raft_pkg.errors import ConfigurationError

_DEFAULTS = RaftConfig()


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Identity, addresses and times (in seconds) of one node.

    Raises `ConfigurationError`, naming the option, when they can't work together.
    """

    node_id: str
    """Identity, which must be one of `peers`; in a StatefulSet the Pod's name."""
    listen: str
    """HOST:PORT to take connections on; port 0 takes a free one."""
    peers: Mapping[str, str]
    """Identity to HOST:PORT of every voting member, this node included."""
    data_dir: Path
    """Directory that holds the log; made when it is not there."""
    http: str | None = None
    """HOST:PORT for /livez, /readyz and /metrics; None: none."""
    election_timeout_min: float = _DEFAULTS.election_timeout_min
    election_timeout_max: float = _DEFAULTS.election_timeout_max
    heartbeat_interval: float = _DEFAULTS.heartbeat_interval
    raft: RaftConfig = field(init=False)
    """The times above, checked."""

    def __post_init__(self) -> None:
        if self.node_id not in self.peers:
            raise ConfigurationError(
                f"--id {self.node_id} is not among --peers ({', '.join(sorted(self.peers)) or 'none given'})"
            )
        parse_address(self.listen, "--listen", port_min=0)
        for peer, address in self.peers.items():
            parse_address(address, f"--peers: {peer}:")
        if self.http is not None:
            parse_address(self.http, "--http")
        try:
            raft = RaftConfig(self.election_timeout_min, self.election_timeout_max, self.heartbeat_interval)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        object.__setattr__(self, "raft", raft)
