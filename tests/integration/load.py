"""Load for integration tests: writers that record outcomes, and a check of the final values.

Every appended token is unique, and an acknowledged append returns the length of the value, so the token must end at
exactly that offset from then on. A token with unknown outcome may be present once, a failed one must not be.
"""

import asyncio
import itertools
from dataclasses import dataclass, field

from raft_pkg.client import AsyncRaftClient, OperationFailedError, OutcomeUnknownError

OPERATION_TIMEOUT_SECONDS = 10.0
PACE_SECONDS = 0.005  # between two writes of one writer: throughput is not tested here


@dataclass
class Ledger:
    """What clients know about one append-only key."""

    key: str
    acknowledged: dict[str, int] = field(default_factory=dict)  # token: length of the value up to its end
    unknown: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    violations: list[str] = field(default_factory=list)

    async def append(self, client: AsyncRaftClient, token: str, timeout: float = OPERATION_TIMEOUT_SECONDS) -> None:
        known_length = max(self.acknowledged.values(), default=0)
        try:
            length = await client.append(self.key, token, timeout=timeout)
        except OutcomeUnknownError:
            self.unknown.add(token)
        except OperationFailedError:
            self.failed.add(token)
        else:
            if length < known_length + len(token):
                self.violations.append(f"{token!r} ends at {length}, after {known_length} had been acknowledged")
            self.acknowledged[token] = length

    async def read(self, client: AsyncRaftClient) -> None:
        known_length = max(self.acknowledged.values(), default=0)
        try:
            value = await client.get(self.key, timeout=OPERATION_TIMEOUT_SECONDS)
        except OperationFailedError:
            return
        if len(value or b"") < known_length:
            self.violations.append(f"read {len(value or b'')} bytes, after {known_length} had been acknowledged")

    def judge(self, value: bytes | None) -> list[str]:
        """Return the problems of the final value."""
        text = (value or b"").decode()
        ends: dict[str, list[int]] = {}
        for end in itertools.accumulate(len(part) + 1 for part in text.split("\n")[:-1]):
            start = text.rfind("\n", 0, end - 1) + 1
            ends.setdefault(text[start:end], []).append(end)
        problems = list(self.violations)
        problems += [
            f"acknowledged {token!r} at {length}, found at {ends.get(token, [])}"
            for token, length in self.acknowledged.items()
            if ends.get(token) != [length]
        ]
        problems += [
            f"unknown {token!r} is there {len(ends[token])} times"
            for token in self.unknown & ends.keys()
            if len(ends[token]) > 1
        ]
        non_members = ends.keys() - self.acknowledged.keys() - self.unknown
        problems += [f"{token!r} is there: failed {token in self.failed}" for token in non_members]
        return problems


class Load:
    """Writers and readers that run until `stop`."""

    def __init__(
        self, client: AsyncRaftClient, *, keys: int, writers: int, timeout: float = OPERATION_TIMEOUT_SECONDS
    ) -> None:
        self.ledgers = [Ledger(f"ledger-{i}") for i in range(keys)]
        self._client = client
        self._timeout = timeout
        self._stopping = False
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(writers)]

    @property
    def acknowledged(self) -> int:
        return sum(len(ledger.acknowledged) for ledger in self.ledgers)

    @property
    def unknown(self) -> int:
        return sum(len(ledger.unknown) for ledger in self.ledgers)

    @property
    def failed(self) -> int:
        return sum(len(ledger.failed) for ledger in self.ledgers)

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def judge(self) -> list[str]:
        """Read all final values; return their problems."""
        values = [await self._client.get(ledger.key, timeout=30) for ledger in self.ledgers]
        return [
            f"{ledger.key}: {problem}"
            for ledger, value in zip(self.ledgers, values, strict=True)
            for problem in ledger.judge(value)
        ]

    async def _write(self, number: int) -> None:
        for i in itertools.count():
            if self._stopping:
                return
            ledger = self.ledgers[(number + i) % len(self.ledgers)]
            await ledger.append(self._client, f"{number}.{i}\n", self._timeout)
            if i % 10 == 0:
                await ledger.read(self._client)
            await asyncio.sleep(PACE_SECONDS)
