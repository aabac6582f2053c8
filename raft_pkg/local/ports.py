"""Free ports on the loopback interface."""

import random
import socket

import psutil

from raft_pkg.errors import ConfigurationError

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20000, 32000
"""Range of ports, below the kernel's range for outgoing connections: the port of a stopped node stays free."""


def choose_ports(count: int) -> list[int]:
    """Return distinct free ports in random order. Raise `ConfigurationError` if there are too few."""
    candidates = random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST)
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            return chosen
        if is_free(port):
            chosen.append(port)
    raise ConfigurationError(f"fewer than {count} free ports between {LOWEST} and {HIGHEST}; use --base-port")


def check_free(address: str, node_id: str) -> None:
    """Raise `ConfigurationError` if the port of HOST:PORT is in use; name the process that holds it, if possible."""
    port = int(address.rpartition(":")[2])
    if not is_free(port):
        raise ConfigurationError(
            f"{node_id}: port {port} is in use{_holder(port)}; stop that process, "
            "or choose other ports with --base-port (after `raftctl cluster down`)"
        )


def is_free(port: int) -> bool:
    """Return whether the port can be bound."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.pid:
            try:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                continue
    return ""
