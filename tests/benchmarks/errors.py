"""Errors of the benchmarks."""


class BenchmarkError(Exception):
    """A part can't be measured; the message states the reason. Other parts continue."""


class MissingError(BenchmarkError):
    """A program is not installed; the message has the command to install it. The part is skipped and listed."""
