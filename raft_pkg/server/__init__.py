"""A Raft server: the event loop of a node, its gRPC services, its transport and its process."""

from raft_pkg.server.config import ServerConfig
from raft_pkg.server.process import run

__all__ = ["ServerConfig", "run"]
