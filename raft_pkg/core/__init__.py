"""The Raft protocol without I/O: `raft.Raft` and the parts that it composes.

`Raft` takes messages, proposals and the time, and returns a `ready.Ready` with what to write, send and apply.
"""
