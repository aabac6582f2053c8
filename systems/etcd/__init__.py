"""etcd under this testbed: an adapter that starts etcd, serves clients by etcd's API, and logs the events of its Raft.

`python -m systems.etcd` runs one node. It reads its configuration from the environment (docs/reference/contract.md).
"""
