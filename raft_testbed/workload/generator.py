"""Generator of a client's operations: seeded choices of function, key and value.

Every value is written once, so that a read identifies the write: the 17th value of client 3 is `<3.17>`. No value is
part of another one, even after appends have concatenated them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from raft_pkg.errors import ConfigurationError
from raft_testbed.history import FUNCTIONS, Value

DEFAULT_MIX: Mapping[str, int] = {"read": 6, "write": 3, "cas": 3, "append": 4, "delete": 1}
APPENDS_MAX = 30
"""Appends to one key before a write replaces the next one, so that values stay small enough to read and check."""
VALUE_BYTES_MAX = 16 * 1024
"""Keeps APPENDS_MAX concatenated values below the store's largest value."""
ABSENT_CAS_SHARE = 0.2
"""Share of cas operations that expect an absent key, rather than the last observed value."""


def parse_mix(text: str) -> dict[str, int]:
    """Return the weights in a text such as `read=6,write=3`. Raise `ConfigurationError` if it is malformed."""
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
    """The keys of a run, and what its clients know about them."""

    prefix: str
    count: int
    observed: dict[str, str | None] = field(default_factory=dict)
    """The value of each key that a client read or set last, for a cas to compare with."""
    appends: dict[str, int] = field(default_factory=dict)
    """Number of appends called since the last call of a write or delete."""

    def key(self, number: int) -> str:
        return f"{self.prefix}/{number}"

    @property
    def keys(self) -> list[str]:
        return [self.key(number) for number in range(self.count)]


class OperationGenerator:
    """The operations of one client.

    Functions and keys depend on the seed alone; the value that a cas compares with depends on earlier outcomes as well.
    """

    def __init__(self, seed: int, client: int, space: KeySpace, mix: Mapping[str, int], value_bytes: int) -> None:
        self._rng = Random(f"{seed}/{client}")
        self._client = client
        self._space = space
        self._functions, self._weights = list(mix), list(mix.values())
        self._value_bytes = value_bytes
        self._values = 0

    def next(self) -> tuple[str, str, Value]:
        """Return function, key and value of the next operation, in the form of a history."""
        (f,) = self._rng.choices(self._functions, self._weights)
        key = self._space.key(self._rng.randrange(self._space.count))
        expects_absent = self._rng.random() < ABSENT_CAS_SHARE
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
            return f, key, [None if expects_absent else self._space.observed.get(key), self._unique_value()]
        return f, key, self._unique_value()

    def _unique_value(self) -> str:
        self._values += 1
        name = f"<{self._client}.{self._values}"
        return name.ljust(self._value_bytes - 1, ".") + ">"
