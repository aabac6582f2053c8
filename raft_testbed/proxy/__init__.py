"""Proxy between nodes that drops, delays, duplicates and reorders messages on demand.

Nodes started with `raftctl serve --peer-proxy` send all messages for other nodes to it. It terminates the sender's gRPC
stream and opens a stream of its own to the receiver, so that faults affect whole messages of Raft. A TCP relay could
only stall bytes.
"""
