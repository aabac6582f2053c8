"""The network between nodes, and between clients and nodes: delay, loss, duplication, order, and cut links."""

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Protocol

from raft_pkg.core.messages import Message
from raft_pkg.rpc.codec import decode_message, encode_message
from raft_testbed.simulation.schedule import Network
from raft_testbed.simulation.scheduler import Scheduler
from raft_testbed.simulation.trace import Trace, describe

CODEC_CHANCE = 0.05
"""Share of messages that go through their wire form: enough to meet every kind often, at little cost."""


STRAGGLERS_SECONDS = 0.05
"""For so long after all was healed, messages may still come that left before."""


class Receiver(Protocol):
    """A machine that messages arrive at."""

    def deliver(self, message: Message) -> None:
        """A message has arrived."""
        ...

    def peer_unreachable(self, peer: str) -> None:
        """A peer's process has ended, or seems to."""
        ...


class SimulatedNetwork:
    """Carries messages. `conditions` and `cut` may change at any time."""

    def __init__(self, scheduler: Scheduler, trace: Trace, rng: Random, conditions: Network) -> None:
        self.conditions = conditions
        self.cut: set[tuple[str, str]] = set()
        """Links, each from one end to another, on which nothing passes."""
        self.late: set[str] = set()
        """Machines all of whose messages come very late."""
        self._scheduler = scheduler
        self._trace = trace
        self._rng = rng
        self._receivers: dict[str, Receiver] = {}
        self._healed_at: float | None = None

    def attach(self, name: str, receiver: Receiver) -> None:
        """Let a machine receive what is sent to its name."""
        self._receivers[name] = receiver

    def heal(self, conditions: Network) -> None:
        """Nothing is cut, and what is under way arrives soon or never."""
        self.conditions = conditions
        self.cut.clear()
        self.late.clear()
        self._healed_at = self._scheduler.now

    def send(self, message: Message, target: str, departure: float, still_sent: Callable[[], bool]) -> None:
        """Carry a message that leaves for a machine at `departure`, unless by then `still_sent` has become false."""
        copies = 2 if self._rng.random() < self.conditions.duplication else 1
        for _ in range(copies):
            if self._rng.random() < self.conditions.loss:
                self._trace.record(message.sender, "lost", describe(message))
                continue
            delay = self._straggle() if message.sender in self.late else self.delay()
            self._scheduler.at(departure + delay, partial(self._arrive, message, target, departure, still_sent))

    def carry(self, source: str, target: str, departure: float, action: Callable[[], None]) -> None:
        """Carry what is not repeated (a client's stream): `action` happens at the target, or never."""
        if self._rng.random() >= self.conditions.loss / 4:
            self._scheduler.at(departure + self.delay(), partial(self._carry_over, source, target, action))

    def report_unreachable(self, source: str, targets: Iterable[str], departure: float) -> None:
        """Let machines know that the process of another one has ended, if they can hear of it."""
        for target in targets:
            if target != source:
                self.carry(source, target, departure, partial(self._receivers[target].peer_unreachable, source))

    @property
    def names(self) -> list[str]:
        """Of all machines."""
        return list(self._receivers)

    def repeat_late(self, source: str, target: str, action: Callable[[], None]) -> bool:
        """Now and then, something that was carried comes once more, much later; whether this does."""
        repeats = self._rng.random() < self.conditions.straggling
        if repeats:
            self._scheduler.after(self._straggle(), partial(self._carry_over, source, target, action))
        return repeats

    def delay(self) -> float:
        """How long the next message takes."""
        conditions, rng = self.conditions, self._rng
        if conditions.straggling and rng.random() < conditions.straggling:
            return self._straggle()
        return conditions.delay_min + rng.expovariate(1 / conditions.delay_mean)

    def _straggle(self) -> float:
        return self._rng.uniform(self.conditions.straggle_min, self.conditions.straggle_max)

    def _carry_over(self, source: str, target: str, action: Callable[[], None]) -> None:
        if (source, target) not in self.cut:
            action()

    def _arrive(self, message: Message, target: str, departure: float, still_sent: Callable[[], bool]) -> None:
        if (message.sender, target) in self.cut or not still_sent() or self._is_straggler(departure):
            return
        if self._rng.random() < CODEC_CHANCE:
            message = decode_message(encode_message(message))
        self._receivers[target].deliver(message)

    def _is_straggler(self, departure: float) -> bool:
        """Whether it left before all was healed, and has been under way for long since."""
        healed_at = self._healed_at
        return healed_at is not None and departure < healed_at < self._scheduler.now - STRAGGLERS_SECONDS
