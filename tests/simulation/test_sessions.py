"""The reference model of sessions and the real sessions agree on random entries."""

from collections.abc import Iterable, Iterator, Sequence
from random import Random

import pytest

from raft_pkg.core.types import Entry, EntryKind
from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.simulation.sessions import SessionModel
from tests.support.entries import command_entry


class Recorder:
    """A state machine that records its commands."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []

    def apply(self, commands: Sequence[bytes]) -> list[bytes]:
        self.commands += commands
        return list(commands)

    def query(self, query: bytes) -> bytes:
        return query

    def snapshot(self) -> Iterator[bytes]:
        return iter(())

    def restore(self, chunks: Iterable[bytes]) -> None:
        raise NotImplementedError


def opening(index: int, time_ms: int, ttl_ms: int) -> Entry:
    return Entry(index, 1, EntryKind.OPEN_SESSION, pb.OpenSession(ttl_ms=ttl_ms, time_ms=time_ms).SerializeToString())


def batch(index: int, time_ms: int, commands: list[tuple[bytes, int, int, int]]) -> Entry:
    return Entry(index, 1, EntryKind.COMMANDS, command_entry(commands, time_ms).SerializeToString())


def random_entry(rng: Random, index: int, time_ms: int) -> Entry:
    if rng.random() < 0.2:
        return opening(index, time_ms, rng.choice((50, 300)))
    commands = [
        (b"%d.%d" % (index, number), rng.randint(0, 6), rng.randint(1, 8), rng.randint(1, 5))
        for number in range(rng.randint(1, 4))
    ]
    return batch(index, time_ms, commands)


@pytest.mark.parametrize("seed", range(50))
def test_the_model_applies_what_the_real_sessions_apply(seed: int) -> None:
    rng = Random(seed)
    model, recorder = SessionModel(), Recorder()
    machine = SessionedMachine(recorder)
    expected: list[bytes] = []
    time_ms = 1000
    for index in range(1, 120):
        time_ms += rng.randint(-20, 30)
        entry = random_entry(rng, index, time_ms)
        expected += model.effects_of(entry)
        if entry.kind is EntryKind.OPEN_SESSION:
            machine.open_session(pb.OpenSession.FromString(entry.data))
        else:
            machine.apply(pb.CommandEntry.FromString(entry.data), index)
    assert recorder.commands == expected
    assert len(expected) > 20


def test_a_command_takes_effect_once_unless_acknowledged_or_expired() -> None:
    model = SessionModel()
    entries = [
        opening(1, 0, 100),
        batch(2, 10, [(b"a", 1, 1, 1), (b"a again", 1, 1, 1), (b"c", 1, 3, 3), (b"acknowledged", 1, 2, 1)]),
        batch(3, 111, [(b"late", 1, 4, 1), (b"unknown session", 2, 1, 1), (b"without", 0, 0, 0)]),
        Entry(4, 1, EntryKind.NOOP, b""),
    ]
    assert [list(model.effects_of(entry)) for entry in entries] == [[], [b"a", b"c"], [b"without"], []]
