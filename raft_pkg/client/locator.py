"""Decides which address to try next. Time and random numbers are arguments; nothing is dialled here."""

import random
from collections.abc import Sequence

from raft_pkg.rpc import raft_pb2 as pb

AVOID_SECONDS_MAX = 1.0
"""An address that failed is avoided for at most this long, while there are others."""
AVOID_FACTOR = 10
"""An unreachable address is avoided for this many times as long as the failed attempt took: one that refuses
connections is tried again soon."""
BACK_OFF_FIRST_SECONDS = 0.01
"""Pause after the first round. Short, since an election takes a few hundred milliseconds."""
BACK_OFF_FACTOR = 1.05
BACK_OFF_MAX_SECONDS = 1.0


class LeaderLocator:
    """Finds the leader: follows hints at once, tries each endpoint once per round, backs off between rounds.

    All times are seconds of one monotonic clock.
    """

    def __init__(self, endpoints: Sequence[str], rng: random.Random) -> None:
        self._endpoints = tuple(endpoints)
        self._rng = rng
        self._hint: str | None = None
        self._tried: set[str] = set()  # in this round
        self._rounds = 0  # since the last success
        self._avoided_until: dict[str, float] = {}
        self._reasons: dict[str, str] = {}  # the last failure of each address, for error messages

    def next(self, now: float) -> tuple[str, float]:
        """Return the address to try next and the seconds to wait before."""
        hint, self._hint = self._hint, None
        if hint is not None and hint not in self._tried and not self._is_avoided(hint, now):
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
        """Record that the node at `address` is not the leader; `hint` is the leader's address as that node knows it."""
        self._tried.add(address)
        self._reasons[address] = reason
        self._hint = hint

    def unreachable(self, address: str, reason: str, now: float, took: float) -> None:
        """Record that connecting to `address` failed after `took` seconds."""
        self.failed(address, reason, now)
        self._avoided_until[address] = now + min(AVOID_FACTOR * took, AVOID_SECONDS_MAX)

    def failed(self, address: str, reason: str, now: float, hint: str | None = None) -> None:
        """Record that the node is unresponsive or ended the stream; `hint` is the address of an acceptable node."""
        self._tried.add(address)
        self._reasons[address] = reason
        self._hint = hint
        self._avoided_until[address] = now + AVOID_SECONDS_MAX

    def found(self, address: str) -> None:
        """Record that the node at `address` executes operations."""
        self._tried.clear()
        self._rounds = 0
        self._hint = None
        self._avoided_until.pop(address, None)
        self._reasons.clear()

    def others(self, address: str) -> list[str]:
        """Return the endpoints other than `address`."""
        return [endpoint for endpoint in self._endpoints if endpoint != address]

    def accepts(self, status: pb.StatusResponse) -> bool:
        """Return whether a node with this status can be used."""
        return status.role == "leader"

    def describe(self) -> str:
        """Return the last failure of each address, for the error message of an operation."""
        if not self._reasons:
            return f"no response yet from {', '.join(self._endpoints)}"
        return "; ".join(f"{address}: {reason}" for address, reason in self._reasons.items())

    def _candidates(self, now: float) -> list[str]:
        return [a for a in self._endpoints if a not in self._tried and not self._is_avoided(a, now)]

    def _is_avoided(self, address: str, now: float) -> bool:
        return self._avoided_until.get(address, now) > now

    def _back_off(self) -> float:
        # The exponent is bounded: a float overflows after some thousand rounds.
        seconds = min(BACK_OFF_MAX_SECONDS, BACK_OFF_FIRST_SECONDS * BACK_OFF_FACTOR ** min(self._rounds, 100))
        self._rounds += 1
        return seconds * self._rng.uniform(0.5, 1.5)


class AnyNodeLocator(LeaderLocator):
    """Accepts any node: starts with a random one, so that clients spread, and keeps it while it responds."""

    def __init__(self, endpoints: Sequence[str], rng: random.Random) -> None:
        super().__init__(rng.sample(endpoints, len(endpoints)), rng)

    def refused(self, address: str, reason: str, hint: str | None) -> None:  # noqa: ARG002 - the leader gets no preference
        """Record that the node at `address` knows of no leader, and so cannot execute reads."""
        super().refused(address, reason, None)

    def accepts(self, status: pb.StatusResponse) -> bool:
        """Return whether the node can ask a leader for a read index."""
        return bool(status.leader_id)
