"""The terms of a log, compared with a list of entries."""

from hypothesis import given, settings
from hypothesis import strategies as st
from samples import entry

from raft_pkg.core.types import Entry
from raft_pkg.storage._state import LogState, LogTerms

Step = tuple[str, int, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(["append", "compact"]), st.integers(0, 12), st.integers(0, 4), st.integers(0, 2)),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5), STEPS)
def test_terms_are_those_of_the_entries(base: int, steps: list[Step]) -> None:
    terms = LogTerms(base, 1)
    state = LogState(base, 1)
    known = {base: 1}
    term = 1
    for what, back, count, more in steps:
        if what == "append":
            first = max(min(known), max(known) - back) + 1
            log = [entry(first + position, term + (position > 1) * more) for position in range(count)]
            term += more
            terms.append(log)
            assert [state.apply(value) for value in log] == [None] * count
            if log:
                known = {index: was for index, was in known.items() if index < first}
                known |= {value.index: value.term for value in log}
        else:
            index = min(known) + back
            terms.compact(index)
            state.compact(index)
            if index in known:
                known = {i: was for i, was in known.items() if i >= index}
        for index in range(base - 1, base + 60):
            assert terms.term_at(index) == state.term_at(index) == known.get(index)
        assert (terms.last_index, terms.last_term) == (state.last_index, state.last_term) == max(known.items())
        assert (state.base_index, state.base_term) == min(known.items())


def test_memory_for_terms_depends_on_their_number_only() -> None:
    terms = LogTerms()
    terms.append([Entry(index, 1 + index // 1000, entry(1).kind, b"") for index in range(1, 5000)])
    assert len(terms._starts) == 6
    terms.compact(4500)
    assert (terms._starts, terms._terms) == ([4500], [5])
