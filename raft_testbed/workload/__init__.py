"""A workload on the key-value store, and the honest record of it."""
