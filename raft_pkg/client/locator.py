"""Where to look for the leader next. Decisions only: time and chance are arguments, nothing is dialed here."""

import random
from collections.abc import Sequence

from raft_pkg.rpc import raft_pb2 as pb

SUSPECT_SECONDS = 1.0  # how long an address that failed is passed over while there are others, at most
SUSPECT_FACTOR = 10  # and so many times as long as it took to find out: one that refuses at once is soon tried again
BACK_OFF_FIRST_SECONDS = 0.01  # an election takes a few hundred milliseconds: ask again soon, then less and less
BACK_OFF_FACTOR = 1.05
BACK_OFF_MAX_SECONDS = 1.0


class LeaderLocator:
    """Follows hints at once, tries every endpoint once a round, and backs off between rounds that found nothing."""

    def __init__(self, endpoints: Sequence[str], chance: random.Random) -> None:
        self._endpoints = tuple(endpoints)
        self._chance = chance
        self._hint: str | None = None
        self._tried: set[str] = set()  # in this round
        self._rounds = 0  # since the last success
        self._suspected_until: dict[str, float] = {}
        self._reasons: dict[str, str] = {}  # why an address was left, for people

    def next(self, now: float) -> tuple[str, float]:
        """The address to try next, and how many seconds to wait before."""
        hint, self._hint = self._hint, None
        if hint is not None and hint not in self._tried and not self._suspected(hint, now):
            self._tried.add(hint)
            return hint, 0.0
        delay = 0.0
        candidates = self._candidates(now)
        if not candidates:
            self._tried.clear()
            delay = self._back_off()
            candidates = self._candidates(now) or list(self._endpoints)
        self._tried.add(candidates[0])
        return candidates[0], delay

    def refused(self, address: str, reason: str, hint: str | None) -> None:
        """The node at `address` is not the leader; `hint` is the leader's address as that node knows it."""
        self._tried.add(address)
        self._reasons[address] = reason
        self._hint = hint

    def unreachable(self, address: str, reason: str, now: float, took: float) -> None:
        """There is no connection to `address`, and it took so many seconds to find out."""
        self.failed(address, reason, now)
        self._suspected_until[address] = now + min(SUSPECT_FACTOR * took, SUSPECT_SECONDS)

    def failed(self, address: str, reason: str, now: float, hint: str | None = None) -> None:
        """The node at `address` has fallen silent, or ended the stream; the one at `hint` says that it will do."""
        self._tried.add(address)
        self._reasons[address] = reason
        self._hint = hint
        self._suspected_until[address] = now + SUSPECT_SECONDS

    def others(self, address: str) -> list[str]:
        """The endpoints besides this address."""
        return [endpoint for endpoint in self._endpoints if endpoint != address]

    def accepts(self, status: pb.StatusResponse) -> bool:
        """Whether a node that says this of itself will do."""
        return status.role == "leader"

    def found(self, address: str) -> None:
        """The node at `address` acts as the leader."""
        self._tried.clear()
        self._rounds = 0
        self._hint = None
        self._suspected_until.pop(address, None)
        self._reasons.clear()

    def describe(self) -> str:
        """What was found at each address, for the message of an operation that found no leader in time."""
        if not self._reasons:
            return f"no answer yet from {', '.join(self._endpoints)}"
        return "; ".join(f"{address}: {reason}" for address, reason in self._reasons.items())

    def _candidates(self, now: float) -> list[str]:
        return [a for a in self._endpoints if a not in self._tried and not self._suspected(a, now)]

    def _suspected(self, address: str, now: float) -> bool:
        return self._suspected_until.get(address, now) > now

    def _back_off(self) -> float:
        # The exponent is bounded: a float overflows after some thousand rounds.
        seconds = min(BACK_OFF_MAX_SECONDS, BACK_OFF_FIRST_SECONDS * BACK_OFF_FACTOR ** min(self._rounds, 100))
        self._rounds += 1
        return seconds * self._chance.uniform(0.5, 1.5)


class AnyNodeLocator(LeaderLocator):
    """Any node will do: begins with a random one, so that many clients spread, and stays there while it answers."""

    def __init__(self, endpoints: Sequence[str], chance: random.Random) -> None:
        super().__init__(chance.sample(endpoints, len(endpoints)), chance)

    def refused(self, address: str, reason: str, hint: str | None) -> None:  # noqa: ARG002
        """The node at `address` can't answer now: it knows of no leader. Where one might be makes no difference."""
        super().refused(address, reason, None)

    def accepts(self, status: pb.StatusResponse) -> bool:
        """Whether the node can ask a leader."""
        return bool(status.leader_id)
