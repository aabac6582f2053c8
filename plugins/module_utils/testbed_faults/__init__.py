"""Faults that a Raft testbed injects: each a small class with one interface (fault.py), listed in catalogue.py."""
