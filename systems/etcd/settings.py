"""What a node is told, as docs/reference/contract.md has it, and what etcd is told because of it."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from raft_pkg.addresses import parse_address
from raft_pkg.cli.serve import parse_peers
from raft_pkg.errors import ConfigurationError

CLUSTER_NAME = "raft-testbed"
HEARTBEATS_IN_ELECTION_MIN = 5
"""etcd refuses an election time-out of fewer heartbeats."""
REVISIONS_KEPT = 10_000
"""etcd keeps every value that a key ever had, unless told to forget."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One node's."""

    node_id: str
    listen: str
    http: str
    peers: Mapping[str, str]
    """Where clients reach each node."""
    internal: Mapping[str, str]
    """Where etcd reaches each of its peers."""
    data_dir: Path
    election_timeout_ms_min: int
    election_timeout_ms_max: int
    heartbeat_interval_ms: int
    etcd: str
    """The program."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises `ConfigurationError`, naming the variable that is missing or wrong."""
        try:
            settings = cls(
                node_id=environment["RAFT_ID"],
                listen=environment["RAFT_LISTEN"],
                http=environment["RAFT_HTTP"],
                peers=parse_peers(environment["RAFT_PEERS"]),
                internal=parse_peers(environment["RAFT_PEERS_INTERNAL"]),
                data_dir=Path(environment["RAFT_DATA_DIR"]).absolute(),
                election_timeout_ms_min=int(environment["RAFT_ELECTION_TIMEOUT_MS_MIN"]),
                election_timeout_ms_max=int(environment["RAFT_ELECTION_TIMEOUT_MS_MAX"]),
                heartbeat_interval_ms=int(environment["RAFT_HEARTBEAT_INTERVAL_MS"]),
                etcd=environment.get("ETCD", "etcd"),
            )
        except KeyError as missing:
            raise ConfigurationError(f"{missing.args[0]} is not set (docs/reference/contract.md)") from None
        except ValueError as error:
            raise ConfigurationError(f"a time-out in the environment is no number: {error}") from None
        settings.check()
        return settings

    def check(self) -> None:
        """Raise `ConfigurationError` for what etcd could not keep."""
        if self.node_id not in self.peers or self.peers.keys() != self.internal.keys():
            raise ConfigurationError(
                f"RAFT_PEERS and RAFT_PEERS_INTERNAL must name the same nodes, and {self.node_id} among them"
            )
        least, greatest = self.election_timeout_ms_min, self.election_timeout_ms_max
        if greatest < 2 * least:
            raise ConfigurationError(
                f"RAFT_ELECTION_TIMEOUT_MS_MAX is {greatest}, but etcd waits for one to two times the least, {least}"
            )
        if least < HEARTBEATS_IN_ELECTION_MIN * self.heartbeat_interval_ms:
            raise ConfigurationError(
                f"RAFT_ELECTION_TIMEOUT_MS_MIN is {least}: etcd wants {HEARTBEATS_IN_ELECTION_MIN} heartbeats of "
                f"{self.heartbeat_interval_ms} ms in it"
            )

    @property
    def member_names(self) -> dict[str, str]:
        """Nodes by the numbers that etcd gives its first members, in hexadecimal as its log has them.

        A number is a digest of the member's address and the cluster's name.
        """
        names = {}
        for node_id, address in self.internal.items():
            digest = hashlib.sha1(f"http://{address}{CLUSTER_NAME}".encode(), usedforsecurity=False).digest()
            names[f"{int.from_bytes(digest[:8]):x}"] = node_id
        return names

    @property
    def socket_dir(self) -> Path:
        """Where etcd takes the adapter's calls. A socket's path must be short, which that of the data need not be."""
        digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"raft-testbed-etcd-{os.getuid()}-{digest}"

    @property
    def socket(self) -> Path:
        """Its name has the form of an address: etcd makes it from the URL that it is to listen on."""
        return self.socket_dir / "etcd:0"

    @property
    def command(self) -> list[str]:
        """How etcd is started, in `socket_dir`."""
        _, port = parse_address(self.internal[self.node_id])
        listen_host = self.listen.rpartition(":")[0]
        return [
            *(self.etcd, "--name", self.node_id, "--data-dir", str(self.data_dir)),
            *("--listen-client-urls", f"unix://{self.socket.name}"),
            # nobody but the adapter calls it, and the adapter knows where it is
            *("--advertise-client-urls", "http://127.0.0.1:1"),
            *("--listen-peer-urls", f"http://{listen_host}:{port}"),
            *("--initial-advertise-peer-urls", f"http://{self.internal[self.node_id]}"),
            *("--initial-cluster", ",".join(f"{name}=http://{address}" for name, address in self.internal.items())),
            *("--initial-cluster-state", "new", "--initial-cluster-token", CLUSTER_NAME),
            *("--election-timeout", str(self.election_timeout_ms_min)),
            *("--heartbeat-interval", str(self.heartbeat_interval_ms)),
            *("--auto-compaction-mode", "revision", "--auto-compaction-retention", str(REVISIONS_KEPT)),
            *("--logger", "zap", "--log-level", "info", "--log-outputs", "stderr"),
        ]
