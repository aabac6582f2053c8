"""Tests of the playbooks: roles, filters, manifests, and whole runs."""
