"""A network that fails on demand: a relay of messages between nodes that loses, delays and repeats them by rules.

Nodes that were started with `raftctl serve --peer-proxy` send everything for other nodes through it. It ends the gRPC
stream of the sender and opens one of its own to the receiver, so that what it loses, delays, repeats or reorders are
whole messages of Raft, which over a mere TCP relay would be stalled bytes.
"""
