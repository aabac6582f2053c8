"""Other Raft implementations under this testbed, each behind an adapter (docs/reference/contract.md)."""
