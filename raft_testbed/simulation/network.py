"""The network between nodes, and between clients and nodes: delay, loss, duplication, reordering and partitions."""

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Protocol

from raft_pkg.core.messages import Message
from raft_pkg.rpc.codec import decode_message, encode_message
from raft_testbed.simulation.parameters import NetworkParameters
from raft_testbed.simulation.scheduler import Scheduler
from raft_testbed.simulation.trace import Trace, describe

CODEC_SHARE = 0.05
"""Share of messages that are encoded and decoded: enough to cover every type often, at little cost."""
CARRY_LOSS_FACTOR = 0.25
"""Loss of client traffic, relative to that of messages between nodes."""


STRAGGLERS_SECONDS = 0.05
"""Time after the end of all faults in which older messages may still arrive."""


class Receiver(Protocol):
    """A machine that receives messages."""

    def deliver(self, message: Message) -> None:
        """Take a message that has arrived."""
        ...

    def peer_unreachable(self, peer: str) -> None:
        """Take the report that a peer's process has ended."""
        ...


class SimulatedNetwork:
    """Carries messages. `parameters`, `cut` and `late` may change at any time."""

    def __init__(self, scheduler: Scheduler, trace: Trace, rng: Random, parameters: NetworkParameters) -> None:
        self.parameters = parameters
        self.cut: set[tuple[str, str]] = set()
        """Directed links, as sender and recipient, that drop everything."""
        self.late: set[str] = set()
        """Machines whose messages all straggle."""
        self._scheduler = scheduler
        self._trace = trace
        self._rng = rng
        self._receivers: dict[str, Receiver] = {}
        self._healed_at: float | None = None

    @property
    def names(self) -> list[str]:
        """Names of all machines."""
        return list(self._receivers)

    def attach(self, name: str, receiver: Receiver) -> None:
        """Connect a machine under its name."""
        self._receivers[name] = receiver

    def heal(self, parameters: NetworkParameters) -> None:
        """End all faults; messages under way arrive soon or never."""
        self.parameters = parameters
        self.cut.clear()
        self.late.clear()
        self._healed_at = self._scheduler.now

    def send(self, message: Message, target: str, departure: float, was_sent: Callable[[], bool]) -> None:
        """Carry a message that leaves at `departure`. On arrival, `was_sent` says whether its node still ran then."""
        copies = 2 if self._rng.random() < self.parameters.duplication else 1
        for _ in range(copies):
            if self._rng.random() < self.parameters.loss:
                self._trace.record(message.sender, "lost", describe(message))
                continue
            delay = self._straggle() if message.sender in self.late else self.delay()
            self._scheduler.at(departure + delay, partial(self._arrive, message, target, departure, was_sent))

    def carry(self, source: str, target: str, departure: float, action: Callable[[], None]) -> None:
        """Carry traffic of a stream, which is never duplicated: `action` runs on arrival, if it arrives."""
        if self._rng.random() >= self.parameters.loss * CARRY_LOSS_FACTOR:
            self._scheduler.at(departure + self.delay(), partial(self._carry_over, source, target, action))

    def report_unreachable(self, source: str, targets: Iterable[str], departure: float) -> None:
        """Report to `targets` that the process of `source` has ended."""
        for target in targets:
            if target != source:
                self.carry(source, target, departure, partial(self._receivers[target].peer_unreachable, source))

    def repeat_late(self, source: str, target: str, action: Callable[[], None]) -> bool:
        """Repeat carried traffic much later, with the probability of stragglers. Return whether it will be."""
        repeats = self._rng.random() < self.parameters.straggling
        if repeats:
            self._scheduler.after(self._straggle(), partial(self._carry_over, source, target, action))
        return repeats

    def delay(self) -> float:
        """Draw the delay of the next message, in seconds."""
        parameters, rng = self.parameters, self._rng
        if parameters.straggling and rng.random() < parameters.straggling:
            return self._straggle()
        return parameters.delay_min + rng.expovariate(1 / parameters.delay_mean)

    def _straggle(self) -> float:
        return self._rng.uniform(self.parameters.straggle_min, self.parameters.straggle_max)

    def _carry_over(self, source: str, target: str, action: Callable[[], None]) -> None:
        if (source, target) not in self.cut:
            action()

    def _arrive(self, message: Message, target: str, departure: float, was_sent: Callable[[], bool]) -> None:
        if (message.sender, target) in self.cut or not was_sent() or self._is_straggler(departure):
            return
        if self._rng.random() < CODEC_SHARE:
            message = decode_message(encode_message(message))
        self._receivers[target].deliver(message)

    def _is_straggler(self, departure: float) -> bool:
        """Return whether a message left before the end of all faults, and `STRAGGLERS_SECONDS` have passed since."""
        healed_at = self._healed_at
        return healed_at is not None and departure < healed_at < self._scheduler.now - STRAGGLERS_SECONDS
