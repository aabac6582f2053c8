"""What one node is told at its start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raft_pkg.addresses import parse_address
from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc.sessions import SESSION_TTL_SECONDS

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
    """Identity to HOST:PORT of those with whom to begin a cluster, this node included; or, for a node that is to join
    one, of this node and of any members. Once the node belongs to a cluster, its log says who does."""
    data_dir: Path
    """Directory that holds the log; made when it is not there."""
    http: str | None = None
    """HOST:PORT for /livez, /readyz and /metrics; None: none."""
    election_timeout_min: float = _DEFAULTS.election_timeout_min
    election_timeout_max: float = _DEFAULTS.election_timeout_max
    heartbeat_interval: float = _DEFAULTS.heartbeat_interval
    peer_proxy: str | None = None
    """HOST:PORT of a `raftctl proxy` through which other nodes are reached; None: directly."""
    lease_reads: bool = False
    """See `RaftConfig.lease_reads`: faster reads for an assumption about clocks."""
    clock_drift_max: float = _DEFAULTS.clock_drift_max
    snapshot_entries: int = 100_000
    """A snapshot is taken when so many entries were applied since the last one."""
    snapshot_bytes: int = 16 * 1024 * 1024
    """Or when their data have so many bytes, and at least as many as the last snapshot."""
    tail_entries: int = _DEFAULTS.tail_entries_max
    """Entries before a snapshot that the log keeps for slow followers, and at most 8 MiB of them."""
    snapshot_step_bytes: int = 256 * 1024
    """A turn of the loop writes so much of a snapshot that is being taken, and at most a piece of it more."""
    session_ttl: float = SESSION_TTL_SECONDS
    """Seconds of log time after its last command at which a client's session ends; the leader's setting counts."""
    raft: RaftConfig = field(init=False)
    """Those of the above that the core goes by, checked."""

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
        if self.peer_proxy is not None:
            parse_address(self.peer_proxy, "--peer-proxy")
        for option, value in (
            ("--snapshot-entries", self.snapshot_entries),
            ("--snapshot-bytes", self.snapshot_bytes),
            ("--session-ttl-ms", self.session_ttl),
        ):
            if not value > 0:
                raise ConfigurationError(f"{option}: {value} is not above 0")
        try:
            Configuration(tuple(Member(peer, address) for peer, address in self.peers.items()))
        except ValueError as error:
            raise ConfigurationError(f"--peers: {error}") from None
        try:
            raft = RaftConfig(
                self.election_timeout_min,
                self.election_timeout_max,
                self.heartbeat_interval,
                tail_entries_max=self.tail_entries,
                lease_reads=self.lease_reads,
                clock_drift_max=self.clock_drift_max,
            )
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        object.__setattr__(self, "raft", raft)
