"""etcd under this testbed: one process starts etcd, serves raft.proto by etcd's API, and logs what etcd's Raft does.

`python -m systems.etcd` is a node; what it is told, it reads from the environment (docs/reference/contract.md).
"""
