"""Times as seconds since 1970, and as RFC 3339 text in UTC with microseconds, the form of logs and records."""

from datetime import UTC, datetime


def parse_timestamp(text: str) -> float:
    """Return the seconds since 1970 of an RFC 3339 time. Raise `ValueError` if the text is none."""
    return datetime.fromisoformat(text).timestamp()


def format_timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339, e.g. `2026-11-29T09:40:00.000000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
