"""Ports on the loopback interface."""

import random
import socket

import psutil

from raft_pkg.errors import ConfigurationError

HOST = "127.0.0.1"
# Below the range that the kernel takes ports for outgoing connections from: a port of a stopped node stays free.
LOWEST, HIGHEST = 20000, 32000


def choose_ports(count: int) -> list[int]:
    """Free ports, all different."""
    candidates = random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST)
    chosen: list[int] = []
    for port in candidates:
        if len(chosen) == count:
            return chosen
        if is_free(port):
            chosen.append(port)
    raise ConfigurationError(f"fewer than {count} free ports between {LOWEST} and {HIGHEST}; use --base-port")


def check_free(address: str, node_id: str) -> None:
    """Raise ConfigurationError that names the port, and its holder if that can be seen."""
    port = int(address.rpartition(":")[2])
    if not is_free(port):
        raise ConfigurationError(
            f"{node_id}: port {port} is in use{_holder(port)}; end that process, "
            "or choose other ports with --base-port (after `raftctl cluster down`)"
        )


def is_free(port: int) -> bool:
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
