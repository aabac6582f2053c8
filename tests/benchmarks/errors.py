"""What can keep a benchmark from being run."""


class BenchmarkError(Exception):
    """A part can't be measured; the message says why. The others go on."""


class MissingError(BenchmarkError):
    """Something is not installed; the message says how to get it. The part is passed over, visibly."""
