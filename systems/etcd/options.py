"""The configuration of a node, and the command line of etcd that follows from it."""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from raft_pkg.addresses import parse_address
from raft_pkg.errors import ConfigurationError
from raft_testbed.adapter import NodeEnvironment

CLUSTER_NAME = "raft-testbed"
HEARTBEATS_PER_ELECTION_TIMEOUT_MIN = 5
"""etcd rejects an election timeout of fewer heartbeat intervals."""
REVISIONS_KEPT = 10_000
"""etcd keeps every earlier value of a key unless it compacts them."""


@dataclass(frozen=True, slots=True)
class EtcdOptions:
    """The options of one etcd process."""

    environment: NodeEnvironment
    program: str
    """Path of etcd."""

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self:
        """Parse environment variables. Raise `ConfigurationError` that names a missing or unsupported variable."""
        options = cls(NodeEnvironment.from_variables(variables), variables.get("ETCD", "etcd"))
        options._validate()
        return options

    def _validate(self) -> None:
        timeout_min = self.environment.election_timeout_ms_min
        timeout_max = self.environment.election_timeout_ms_max
        heartbeat = self.environment.heartbeat_interval_ms
        if timeout_max < 2 * timeout_min:
            raise ConfigurationError(
                f"RAFT_ELECTION_TIMEOUT_MS_MAX is {timeout_max}: etcd waits for up to twice the minimum, {timeout_min}"
            )
        if timeout_min < HEARTBEATS_PER_ELECTION_TIMEOUT_MIN * heartbeat:
            raise ConfigurationError(
                f"RAFT_ELECTION_TIMEOUT_MS_MIN is {timeout_min}: etcd requires at least "
                f"{HEARTBEATS_PER_ELECTION_TIMEOUT_MIN} heartbeats of {heartbeat} ms"
            )

    @property
    def member_names(self) -> dict[str, str]:
        """Node ids by the member ids that etcd gives its initial members, in hexadecimal as in its log.

        A member id is a digest of the member's address and the cluster's name.
        """
        names = {}
        for node_id, address in self.environment.internal_peers.items():
            digest = hashlib.sha1(f"http://{address}{CLUSTER_NAME}".encode(), usedforsecurity=False).digest()
            names[f"{int.from_bytes(digest[:8]):x}"] = node_id
        return names

    @property
    def socket_dir(self) -> Path:
        """Directory of the adapter's socket to etcd. A socket's path must be short, unlike the data directory's."""
        digest = hashlib.sha256(str(self.environment.data_dir).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"raft-testbed-etcd-{os.getuid()}-{digest}"

    @property
    def socket(self) -> Path:
        """The socket. etcd derives the name from its listen URL, so it has the form HOST:PORT."""
        return self.socket_dir / "etcd:0"

    @property
    def command(self) -> list[str]:
        """The command line of etcd, to be run in `socket_dir`."""
        environment = self.environment
        own_address = environment.internal_peers[environment.node_id]
        _, port = parse_address(own_address)
        listen_host = environment.listen.rpartition(":")[0]
        initial_cluster = (f"{name}=http://{address}" for name, address in environment.internal_peers.items())
        return [
            *(self.program, "--name", environment.node_id, "--data-dir", str(environment.data_dir)),
            *("--listen-client-urls", f"unix://{self.socket.name}"),
            # etcd requires a client URL, but its only client is the adapter
            *("--advertise-client-urls", "http://127.0.0.1:1"),
            *("--listen-peer-urls", f"http://{listen_host}:{port}"),
            *("--initial-advertise-peer-urls", f"http://{own_address}"),
            *("--initial-cluster", ",".join(initial_cluster)),
            *("--initial-cluster-state", "new", "--initial-cluster-token", CLUSTER_NAME),
            *("--election-timeout", str(environment.election_timeout_ms_min)),
            *("--heartbeat-interval", str(environment.heartbeat_interval_ms)),
            *("--auto-compaction-mode", "revision", "--auto-compaction-retention", str(REVISIONS_KEPT)),
            *("--logger", "zap", "--log-level", "info", "--log-outputs", "stderr"),
        ]
