"""Mix of operations of a load: `put`, `get`, `any-get`, or reads and writes such as `90/10`."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raft_pkg.errors import ConfigurationError

PATTERN_LENGTH_MIN = 10_000


@dataclass(frozen=True, slots=True)
class Mix:
    """Percentage of reads, and whether any node may serve them."""

    name: str
    reads_percent: int
    any_node: bool = False

    def operations(self, keys: Sequence[str], seed: int) -> Iterator[tuple[bool, str]]:
        """Yield (whether to write, key) endlessly: a pattern drawn once, because draws are expensive."""
        rng = random.Random(seed)
        length = max(PATTERN_LENGTH_MIN, len(keys))
        chosen = [key for _ in range(-(-length // len(keys))) for key in rng.sample(keys, len(keys))]
        pattern = [(rng.randrange(100) >= self.reads_percent, key) for key in chosen]
        while True:
            yield from pattern


_NAMED = {"put": Mix("put", 0), "get": Mix("get", 100), "any-get": Mix("any-get", 100, any_node=True)}


def parse_mix(text: str) -> Mix:
    """Return the mix of that name. Raise `ConfigurationError`, with the known names, if there is none."""
    if text in _NAMED:
        return _NAMED[text]
    reads, slash, writes = text.partition("/")
    if slash and reads.isdecimal() and writes.isdecimal() and int(reads) + int(writes) == 100:
        return Mix(text, int(reads))
    raise ConfigurationError(
        f"--mix {text}: not put, get, any-get, or READS/WRITES in percent with a sum of 100, such as 90/10"
    )
