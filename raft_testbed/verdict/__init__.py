"""Verdicts on a run, from its directory alone (docs/reference/report.md)."""
