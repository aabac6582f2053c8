"""What a load consists of: `put`, `get`, `any-get`, or reads and writes such as `90/10`."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from raft_pkg.errors import ConfigurationError

PATTERN_LENGTH_MIN = 10_000


@dataclass(frozen=True, slots=True)
class Mix:
    """How many of a hundred operations are reads, and whether any node may answer them."""

    name: str
    reads_percent: int
    any_node: bool = False

    def operations(self, keys: Sequence[str], seed: int) -> Iterator[tuple[bool, str]]:
        """Endlessly, (whether to write, key): drawn once and then repeated, since drawing costs as much as sending."""
        rng = random.Random(seed)
        length = max(PATTERN_LENGTH_MIN, len(keys))
        chosen = [key for _ in range(-(-length // len(keys))) for key in rng.sample(keys, len(keys))]
        pattern = [(rng.randrange(100) >= self.reads_percent, key) for key in chosen]
        while True:
            yield from pattern


_NAMED = {"put": Mix("put", 0), "get": Mix("get", 100), "any-get": Mix("any-get", 100, any_node=True)}


def parse_mix(text: str) -> Mix:
    """A mix by its name; raises ConfigurationError that says which there are."""
    if text in _NAMED:
        return _NAMED[text]
    reads, slash, writes = text.partition("/")
    if slash and reads.isdecimal() and writes.isdecimal() and int(reads) + int(writes) == 100:
        return Mix(text, int(reads))
    raise ConfigurationError(
        f"--mix {text}: not put, get, any-get or READS/WRITES in percent that make a hundred, such as 90/10"
    )
