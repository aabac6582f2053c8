"""What a client does next: seeded choices of function, key and value.

Every value is written once, so that reads tell writes apart: client 3's 17th is `<3.17>`. No such text is part of
another, also not within what appends have put together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from raft_pkg.errors import ConfigurationError
from raft_testbed.history import FUNCTIONS, Value

DEFAULT_MIX: Mapping[str, int] = {"read": 6, "write": 3, "cas": 3, "append": 4, "delete": 1}
APPENDS_MAX = 30
"""Appends to one key before the next is a write instead: values stay small enough to read and to judge."""
VALUE_BYTES_MAX = 16 * 1024
"""So that APPENDS_MAX of them stay below the largest value there may be."""
FRESH_CAS_SHARE = 0.2
"""How many cas expect that there is no such key, rather than the value that was last seen."""


def parse_mix(text: str) -> dict[str, int]:
    """`read=6,write=3` as weights. Raises `ConfigurationError` for what is none."""
    mix = {}
    for part in text.split(","):
        f, equals, weight = part.strip().partition("=")
        if f not in FUNCTIONS or not equals or not weight.isdecimal():
            raise ConfigurationError(f"--mix: {part!r} is not one of {', '.join(FUNCTIONS)} with a weight: read=6")
        mix[f] = int(weight)
    if not any(mix.values()):
        raise ConfigurationError("--mix: at least one weight must be above 0")
    return mix


@dataclass(slots=True)
class KeySpace:
    """The keys of a run, and what all its clients know of them."""

    prefix: str
    count: int
    seen: dict[str, str | None] = field(default_factory=dict)
    """The value that a client saw or set last, for a cas to compare with."""
    appends: dict[str, int] = field(default_factory=dict)
    """Appends called since the last write or delete was called."""

    def key(self, number: int) -> str:
        return f"{self.prefix}/{number}"

    @property
    def keys(self) -> list[str]:
        """All of them."""
        return [self.key(number) for number in range(self.count)]


class Choice:
    """The choices of one client. Functions and keys depend on the seed alone, what a cas compares with does not."""

    def __init__(self, seed: int, client: int, space: KeySpace, mix: Mapping[str, int], value_bytes: int) -> None:
        self._rng = Random(f"{seed}/{client}")
        self._client = client
        self._space = space
        self._functions, self._weights = list(mix), list(mix.values())
        self._value_bytes = value_bytes
        self._values = 0

    def next(self) -> tuple[str, str, Value]:
        """Function, key and value of the next operation, as a history has them."""
        (f,) = self._rng.choices(self._functions, self._weights)
        key = self._space.key(self._rng.randrange(self._space.count))
        expects_nothing = self._rng.random() < FRESH_CAS_SHARE
        appends = self._space.appends
        if f == "append" and appends.get(key, 0) >= APPENDS_MAX:
            f = "write"
        if f == "append":
            appends[key] = appends.get(key, 0) + 1
        elif f in ("write", "delete"):
            appends[key] = 0
        if f in ("read", "delete"):
            return f, key, None
        if f == "cas":
            return f, key, [None if expects_nothing else self._space.seen.get(key), self._unique_value()]
        return f, key, self._unique_value()

    def _unique_value(self) -> str:
        self._values += 1
        name = f"<{self._client}.{self._values}"
        return name.ljust(self._value_bytes - 1, ".") + ">"
