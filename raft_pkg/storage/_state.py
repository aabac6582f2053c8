"""What a log adds up to, and which additions to it can be right. Holds on to promises: term and vote never go back."""

from collections.abc import Sequence

from raft_pkg.core.types import Entry, HardState


def hard_state_problem(current: HardState, new: HardState) -> str | None:
    """Why a hard state can't follow another one; None when it can (paper, Figure 2: current_term, voted_for)."""
    if new.current_term < current.current_term:
        return f"the term would go back from {current.current_term} to {new.current_term}"
    if new.current_term == current.current_term and current.voted_for not in (None, new.voted_for):
        return f"the vote in term {new.current_term} would change from {current.voted_for!r} to {new.voted_for!r}"
    return None


def check_append(current: HardState, last_index: int, hard_state: HardState | None, entries: Sequence[Entry]) -> int:
    """The index of the last entry after an addition to a log. Raises ValueError when the addition can't be right."""
    problem = None if hard_state is None else hard_state_problem(current, hard_state)
    if problem is not None:
        raise ValueError(problem)
    if not entries:
        return last_index
    expected = entries[0].index
    if not 1 <= expected <= last_index + 1:
        raise ValueError(f"entry {expected} can't be added to a log of entries 1 to {last_index}")
    for entry in entries:
        if entry.index != expected:
            raise ValueError(f"entry {entry.index} can't follow entry {expected - 1}")
        expected += 1
    return expected - 1


class LogState:
    """Hard state and entries, built up record by record."""

    __slots__ = ("entries", "hard_state")

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.entries: list[Entry] = []  # from index 1 on

    @property
    def last_index(self) -> int:
        return len(self.entries)

    @property
    def is_initial(self) -> bool:
        return not self.entries and self.hard_state == HardState()

    def apply(self, value: HardState | Entry) -> str | None:
        """Take in one record's value; returns why it can't be right, None when it can."""
        if isinstance(value, HardState):
            problem = hard_state_problem(self.hard_state, value)
            if problem is None:
                self.hard_state = value
            return problem
        entries = self.entries
        position = value.index - 1
        if position == len(entries):
            entries.append(value)
            return None
        if not 0 <= position < len(entries):
            return f"entry {value.index} can't be added to a log of entries 1 to {len(entries)}"
        del entries[position:]
        entries.append(value)
        return None
