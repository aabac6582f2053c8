"""Workload on the key-value store: concurrent clients, and the history of their operations."""
