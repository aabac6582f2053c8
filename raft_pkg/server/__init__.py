"""A node: the loop, its gRPC services, its links to peers, and the process around them."""

from raft_pkg.server.config import ServerConfig
from raft_pkg.server.process import run

__all__ = ["ServerConfig", "run"]
