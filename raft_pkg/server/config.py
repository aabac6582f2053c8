"""The configuration of one node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from raft_pkg.addresses import parse_address
from raft_pkg.core.config import RaftConfig
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.errors import ConfigurationError
from raft_pkg.rpc.requests import SESSION_TTL_SECONDS

_DEFAULTS = RaftConfig()


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Identity, addresses, time-outs (in seconds) and limits of one node.

    Raise `ConfigurationError` with the name of the command-line option if a value is invalid, or if values
    contradict each other.
    """

    node_id: str
    """Identity of the node, a key of `peers`; in a StatefulSet the Pod's name."""
    listen: str
    """HOST:PORT to accept connections on; port 0 selects a free port."""
    peers: Mapping[str, str]
    """Bootstrap peers: identity to HOST:PORT of all initial members, including this node. A node that joins an existing
    cluster needs itself and any member. Once the node belongs to a cluster, the configuration in its log counts."""
    data_dir: Path
    """Directory of the log and the snapshot; created if missing."""
    http: str | None = None
    """HOST:PORT for /livez, /readyz and /metrics; None disables them."""
    election_timeout_min: float = _DEFAULTS.election_timeout_min
    election_timeout_max: float = _DEFAULTS.election_timeout_max
    heartbeat_interval: float = _DEFAULTS.heartbeat_interval
    peer_proxy: str | None = None
    """HOST:PORT of a `raftctl proxy` that relays messages to other nodes; None connects directly."""
    lease_reads: bool = False
    """Whether to read by lease: faster, but correct only while clocks drift less than `clock_drift_max`. See
    `RaftConfig.lease_reads`."""
    clock_drift_max: float = _DEFAULTS.clock_drift_max
    snapshot_entries: int = 100_000
    """Number of entries applied since the newest snapshot that makes the next one due."""
    snapshot_bytes: int = 16 * 1024 * 1024
    """Bytes of applied entries that make the next snapshot due; at least the size of the newest snapshot."""
    tail_entries: int = _DEFAULTS.tail_entries_max
    """Number of entries before a snapshot that the log keeps for slow followers, at most 8 MiB."""
    snapshot_step_bytes: int = 256 * 1024
    """Bytes of a snapshot that one iteration of the event loop writes; the last chunk may exceed them."""
    session_ttl: float = SESSION_TTL_SECONDS
    """Seconds of log time after which an unused client session expires. The leader's value applies."""
    raft: RaftConfig = field(init=False)
    """Validated configuration of the core, derived from the fields above."""

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
                raise ConfigurationError(f"{option}: {value} must be above 0")
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
