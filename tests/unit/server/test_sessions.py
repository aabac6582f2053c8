"""Sessions (dissertation §6.3): a command is applied once, however often and in whatever order it arrives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_pkg.rpc import raft_pb2 as pb
from raft_pkg.rpc.requests import SESSION_RESPONSE_BYTES_MAX, SESSION_RESPONSES_MAX
from raft_pkg.server import sessions
from raft_pkg.server.sessions import SessionedMachine
from tests.support.entries import command_entry

TTL_MS = 1000


class Journal:
    """A state machine that records its commands; each result is the number of commands so far."""

    def __init__(self, answer_bytes=0):
        self.applied = []
        self.calls = 0
        self.answer_bytes = answer_bytes

    def apply(self, commands):
        self.calls += 1
        answers = []
        for command in commands:
            self.applied.append(command)
            answers.append(b"%d" % len(self.applied) + bytes(self.answer_bytes))
        return answers

    def query(self, query):
        return query + b"?"

    def snapshot(self):
        return iter([json.dumps([command.decode() for command in self.applied]).encode()])

    def restore(self, chunks):
        self.applied = [text.encode() for text in json.loads(b"".join(chunks))]


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def machine(journal):
    return SessionedMachine(journal)


def batch(*commands, time_ms=0):
    """Each command is (session, sequence) or (session, sequence, acknowledged below)."""
    full = [(*command, 1)[:3] for command in commands]
    return command_entry([(f"{command[0]}.{command[1]}".encode(), *command) for command in full], time_ms)


def without_session(*commands, time_ms=0):
    return pb.CommandEntry(batches=[pb.CommandBatch(commands=commands)], time_ms=time_ms)


def results_of(applied):
    """Return result and index of each command, or "expired"."""
    return ["expired" if each.expired else (int(each.result.rstrip(b"\0")), each.index) for each in applied]


def opened(machine, time_ms=0, ttl_ms=TTL_MS):
    return machine.open_session(pb.OpenSession(ttl_ms=ttl_ms, time_ms=time_ms))


def test_commands_without_a_session_are_always_applied(machine, journal):
    assert results_of(machine.apply(without_session(b"a", b"a"), 1)) == [(1, 1), (2, 1)]
    assert results_of(machine.apply(batch((0, 0), (0, 0)), 2)) == [(3, 2), (4, 2)]
    assert journal.calls == 2


def test_a_repeated_command_gets_the_first_result_and_index(machine, journal):
    session = opened(machine)
    assert results_of(machine.apply(batch((session, 1)), 5)) == [(1, 5)]
    assert results_of(machine.apply(batch((session, 2), (session, 1)), 6)) == [(2, 6), (1, 5)]
    assert journal.applied == [b"1.1", b"1.2"]


def test_a_command_repeated_in_one_entry_is_applied_once(machine, journal):
    session = opened(machine)
    assert results_of(machine.apply(batch((session, 1), (0, 0), (session, 1)), 7)) == [(1, 7), (2, 7), (1, 7)]
    assert journal.applied == [b"1.1", b"0.0"]


def test_sequence_numbers_may_arrive_in_any_order(machine, journal):
    session = opened(machine)
    assert results_of(machine.apply(batch((session, 3), (session, 1)), 1)) == [(1, 1), (2, 1)]
    assert results_of(machine.apply(batch((session, 1), (session, 2), (session, 3)), 2)) == [(2, 1), (3, 2), (1, 1)]
    assert journal.applied == [b"1.3", b"1.1", b"1.2"]


def test_sessions_do_not_share_sequence_numbers(machine):
    one, other = opened(machine), opened(machine)
    assert results_of(machine.apply(batch((one, 1), (other, 1), (one, 1)), 1)) == [(1, 1), (2, 1), (1, 1)]


def test_acknowledged_sequence_numbers_are_never_applied(machine, journal):
    session = opened(machine)
    machine.apply(batch((session, 5, 4)), 1)
    assert results_of(machine.apply(batch((session, 3), (session, 4), (session, 0)), 2)) == [
        "expired",
        (2, 2),
        "expired",
    ]
    assert results_of(machine.apply(batch((session, 5, 6)), 3)) == ["expired"]
    assert journal.applied == [b"1.5", b"1.4"]


def test_the_low_water_mark_never_decreases(machine):
    session = opened(machine)
    machine.apply(batch((session, 9, 9)), 1)
    assert results_of(machine.apply(batch((session, 8, 1)), 2)) == ["expired"]


@pytest.mark.parametrize("session", [1, 2, 2**64 - 1])
def test_an_unknown_session_has_expired(machine, journal, session):
    assert results_of(machine.apply(batch((session, 1), (0, 0)), 1)) == ["expired", (1, 1)]
    assert journal.applied == [b"0.0"]


def test_a_session_expires_by_log_time(machine):
    early, late = opened(machine, time_ms=10), opened(machine, time_ms=10)
    machine.apply(batch((late, 1), time_ms=500), 1)
    assert results_of(machine.apply(batch((early, 1), time_ms=10 + TTL_MS), 2)) == [(2, 2)]
    assert results_of(machine.apply(batch((late, 1), time_ms=500 + TTL_MS + 1), 3)) == ["expired"]
    assert len(machine._sessions) == 1


def test_a_repeated_command_renews_its_session(machine):
    session = opened(machine)
    machine.apply(batch((session, 1), time_ms=0), 1)
    machine.apply(batch((session, 1), time_ms=TTL_MS), 2)
    assert results_of(machine.apply(batch((session, 1), time_ms=2 * TTL_MS), 3)) == [(1, 1)]


def test_log_time_advances_without_sessions_and_when_one_is_opened(machine):
    session = opened(machine)
    machine.apply(without_session(b"a", time_ms=TTL_MS + 1), 1)
    assert len(machine._sessions) == 0
    other = opened(machine, time_ms=TTL_MS + 1)
    opened(machine, time_ms=3 * TTL_MS)
    assert len(machine._sessions) == 1
    assert results_of(machine.apply(batch((session, 1), (other, 1)), 2)) == ["expired", "expired"]


def test_log_time_never_goes_back(machine):
    """A new leader's clock may be behind the old one's."""
    machine.apply(batch(time_ms=5000), 1)
    session = opened(machine, time_ms=100)
    assert results_of(machine.apply(batch((session, 1), time_ms=200), 2)) == [(1, 2)]
    assert results_of(machine.apply(batch((session, 2), time_ms=5000 + TTL_MS), 3)) == [(2, 3)]


def test_each_session_has_its_own_time_to_live(machine):
    long, short = opened(machine, ttl_ms=10_000), opened(machine, ttl_ms=10)
    assert results_of(machine.apply(batch((short, 1), (long, 1), time_ms=11), 1)) == ["expired", (1, 1)]


def test_one_session_too_many_ends_the_least_recently_used_one(machine, monkeypatch):
    monkeypatch.setattr(sessions, "SESSIONS_MAX", 3)
    first, second, third = (opened(machine) for _ in range(3))
    machine.apply(batch((first, 1)), 1)
    fourth = opened(machine)
    assert fourth == 4
    assert results_of(machine.apply(batch((first, 1), (second, 1), (third, 1), (fourth, 1)), 2)) == [
        (1, 1),
        "expired",
        (2, 2),
        (3, 2),
    ]


def test_session_ids_are_never_reused(machine):
    ids = [opened(machine, time_ms=i * 2 * TTL_MS) for i in range(3)]
    other = SessionedMachine(Journal())
    other.restore(machine.snapshot())
    assert [*ids, opened(other)] == [1, 2, 3, 4]


def test_a_session_with_too_many_recorded_responses_ends(machine, journal):
    """The client violates the protocol: further commands expire."""
    session, other = opened(machine), opened(machine)
    for start in range(1, SESSION_RESPONSES_MAX, 1024):
        machine.apply(batch(*((session, start + i) for i in range(1024))), start)
    assert len(journal.applied) == SESSION_RESPONSES_MAX
    assert results_of(machine.apply(batch((session, 1)), 7)) == [(1, 1)]
    following = batch((session, SESSION_RESPONSES_MAX + 1), (session, 1), (other, 1), (session, 2))
    assert results_of(machine.apply(following, 8)) == ["expired", "expired", (SESSION_RESPONSES_MAX + 1, 8), "expired"]
    assert len(machine._sessions) == 1


def test_a_session_that_acknowledges_outcomes_never_ends(machine):
    session = opened(machine)
    for start in range(1, 3 * SESSION_RESPONSES_MAX, 2048):
        applied = machine.apply(batch(*((session, start + i, max(1, start - 2048)) for i in range(2048))), start)
        assert not any(each.expired for each in applied)


def test_a_session_with_too_large_recorded_responses_ends():
    machine = SessionedMachine(Journal(answer_bytes=SESSION_RESPONSE_BYTES_MAX // 4))
    session = opened(machine)
    for sequence in range(1, 10):  # each acknowledges the previous one
        assert results_of(machine.apply(batch((session, sequence, sequence)), sequence)) == [(sequence, sequence)]
    for sequence in range(10, 13):
        machine.apply(batch((session, sequence)), sequence)
    assert results_of(machine.apply(batch((session, 9), (session, 13)), 13)) == [(9, 9), "expired"]


def test_a_response_that_is_acknowledged_in_its_own_entry_does_not_count():
    machine = SessionedMachine(Journal(answer_bytes=SESSION_RESPONSE_BYTES_MAX // 2))
    session = opened(machine)
    for sequence in range(1, 20, 2):
        applied = machine.apply(batch((session, sequence), (session, sequence + 1, sequence + 1)), sequence)
        assert results_of(applied) == [(sequence, sequence), (sequence + 1, sequence)]


def test_a_huge_acknowledgement_costs_no_more_than_the_recorded_responses(machine):
    session = opened(machine)
    machine.apply(batch((session, 1), (session, 2)), 1)
    assert results_of(machine.apply(batch((session, 2**64 - 1, 2**64 - 1), (session, 2)), 2)) == [(3, 2), "expired"]


def test_queries_are_passed_to_the_application(machine):
    assert machine.query(b"who") == b"who?"


# --- snapshots ------------------------------------------------------------------------------------------------------


def recut(chunks, size):
    whole = b"".join(chunks)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def restored(chunks):
    machine = SessionedMachine(Journal())
    machine.restore(chunks)
    return machine


def test_a_snapshot_captures_the_state_at_the_call(machine):
    session = opened(machine)
    machine.apply(batch((session, 1), (session, 2)), 1)
    chunks = machine.snapshot()
    first_chunk = next(chunks)
    machine.apply(batch((session, 3, 2), (session, 2)), 2)
    opened(machine, time_ms=9 * TTL_MS)
    other = restored([first_chunk, *chunks])
    assert results_of(other.apply(batch((session, 1), (session, 2), (session, 3)), 9)) == [(1, 1), (2, 1), (3, 9)]
    assert opened(other) == 2


def test_the_size_of_chunks_is_limited(machine):
    for _ in range(3):
        session = opened(machine)
        machine.apply(batch(*((session, i) for i in range(1, 10_000))), 1)
    sizes = [len(chunk) for chunk in machine.snapshot()]
    assert len(sizes) > 5
    assert max(sizes[:-1]) <= sessions.CHUNK_BYTES + 1024


def a_snapshot():
    machine = SessionedMachine(Journal())
    one, other = opened(machine, time_ms=3), opened(machine)
    machine.apply(batch((one, 1), (other, 1), (other, 2)), 1)
    return b"".join(machine.snapshot())


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "offset 0: expected 16 bytes of the sessions' header, found 0"),
        (b"raft sessions 2\n" + a_snapshot()[16:], "offset 0: not in the format"),
        (a_snapshot()[:76], "offset 52: expected 36 bytes of a session, found 24"),
        (a_snapshot()[:96], "offset 88: expected 20 bytes of a response"),
        (a_snapshot()[:108], "offset 108: expected 1 bytes of a result"),
        (a_snapshot()[:52] + (9).to_bytes(8) + a_snapshot()[60:], "offset 52: invalid or repeated session id 9"),
        (a_snapshot()[:52] + bytes(8) + a_snapshot()[60:], "offset 52: invalid or repeated session id 0"),
        (a_snapshot()[:109] + a_snapshot()[52:93], "offset 109: invalid or repeated session id 1"),
    ],
)
def test_an_invalid_snapshot_is_rejected(data, named):
    with pytest.raises(ValueError, match=named):
        restored([data])


@given(st.integers(0, len(a_snapshot()) - 1), st.binary(min_size=1, max_size=6), st.booleans())
def test_a_damaged_snapshot_is_rejected_or_restores_a_consistent_state(offset, damage, cut):
    data = a_snapshot()[:offset] + damage + (b"" if cut else a_snapshot()[offset + len(damage) :])
    try:
        machine = restored([data])
    except ValueError:
        return
    snapshot = b"".join(machine.snapshot())
    assert b"".join(restored([snapshot]).snapshot()) == snapshot


class Model:
    """The specification of sessions in its simplest form."""

    def __init__(self):
        self.now = self.last_id = self.count = 0
        self.sessions = {}  # id: [ttl, last use, acknowledged, {sequence: outcome}]
        self.uses = []  # ids, most recently used last

    def advance(self, time_ms):
        self.now = max(self.now, time_ms)
        for session_id, (ttl, used, _, _) in list(self.sessions.items()):
            if self.now - used > ttl:
                del self.sessions[session_id]

    def open_session(self, ttl_ms, time_ms, most):
        self.advance(time_ms)
        if len(self.sessions) >= most:
            del self.sessions[min(self.sessions, key=lambda s: max(i for i, u in enumerate(self.uses) if u == s))]
        self.last_id += 1
        self.sessions[self.last_id] = [ttl_ms, self.now, 1, {}]
        self.uses.append(self.last_id)
        return self.last_id

    def apply(self, commands, time_ms, index):
        self.advance(time_ms)
        return [self.apply_one(*command, index) for command in commands]

    def apply_one(self, session_id, sequence, acknowledged, index):
        if session_id == 0:
            self.count += 1
            return self.count, index
        if session_id not in self.sessions:
            return "expired"
        session = self.sessions[session_id]
        self.uses.append(session_id)
        session[1] = self.now
        session[2] = max(session[2], acknowledged)
        if sequence < session[2]:
            return "expired"
        if sequence not in session[3]:
            self.count += 1
            session[3][sequence] = (self.count, index)
        return session[3][sequence]


times = st.integers(0, 3000)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.just(TTL_MS), times),
        st.tuples(
            st.just("apply"),
            st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 5)), max_size=6),
            times,
        ),
        st.tuples(st.just("snapshot"), st.integers(1, 100), st.just(0)),
    ),
    max_size=25,
)


@given(steps)
def test_sessions_match_the_model_across_restarts(steps):
    machine, model = SessionedMachine(Journal()), Model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "SESSIONS_MAX", 3)
        for index, (step, argument, time_ms) in enumerate(steps, start=1):
            if step == "open":
                assert opened(machine, time_ms, argument) == model.open_session(argument, time_ms, 3)
            elif step == "apply":
                applied = machine.apply(batch(*argument, time_ms=time_ms), index)
                assert results_of(applied) == model.apply(argument, time_ms, index)
            else:
                machine = restored(recut(machine.snapshot(), argument))


@given(steps, steps, st.sampled_from([TTL_MS, 10, 5000]), st.integers(1, 60))
def test_a_restored_machine_stays_equal(before, after, ttl_ms, size):
    """§7: equal results and equal snapshots, whatever entries follow, even with different times to live."""

    def run(machine, steps, first_index):
        answers = []
        for index, (step, argument, time_ms) in enumerate(steps, start=first_index):
            if step == "open":
                answers.append(opened(machine, time_ms, TTL_MS if index % 2 else ttl_ms))
            elif step == "apply":
                answers += results_of(machine.apply(batch(*argument, time_ms=time_ms), index))
        return answers

    machine = SessionedMachine(Journal())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "SESSIONS_MAX", 3)
        patch.setattr(sessions, "SESSION_RESPONSES_MAX", 5)
        patch.setattr(sessions, "SESSION_RESPONSE_BYTES_MAX", 6)
        run(machine, before, 1)
        chunks = machine.snapshot()
        answers = run(machine, after, 100)  # before the snapshot's chunks are read
        other = restored(recut(chunks, size))
        assert run(other, after, 100) == answers
    assert b"".join(other.snapshot()) == b"".join(machine.snapshot())
