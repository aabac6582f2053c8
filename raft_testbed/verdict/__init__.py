"""What a whole run shows: its directory, and a verdict on each promise (docs/reference/report.md)."""
