"""Configuration, its encoding, and Electorate against a model of §6."""

import json
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raft_pkg.core.configuration import (
    MEMBERS_MAX,
    NODE_ID_BYTES_MAX,
    Configuration,
    Electorate,
    Member,
    quorums_overlap,
)
from tests.support.members import configuration

NAMES = "abcdefg"

names = st.lists(st.sampled_from(NAMES), unique=True, max_size=7)
members = names.flatmap(
    lambda chosen: st.tuples(
        *(st.builds(Member, st.just(name), st.text(max_size=5), st.integers(0, 2)) for name in chosen)
    )
)


@st.composite
def configurations(draw):
    """Generate configurations; an identity may be an outgoing voter and a member in different incarnations."""
    present = draw(members)
    cut = draw(st.integers(0, len(present)))
    learners = present[cut:]
    to_promote = draw(st.lists(st.sampled_from([m.node_id for m in learners]), unique=True)) if learners else []
    return Configuration(present[:cut], learners, draw(members), tuple(to_promote))


# --- values -----------------------------------------------------------------------------------------------------------


def test_order_of_members_does_not_matter():
    one = Configuration((Member("b"), Member("a")), (Member("d"), Member("c")), to_promote=("d", "c"))
    other = Configuration((Member("a"), Member("b")), (Member("c"), Member("d")), to_promote=("c", "d"))
    assert one == other
    assert [member.node_id for member in one.members] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"voters": (Member("a"), Member("a", "elsewhere"))}, "voters: an identity occurs twice: a, a"),
        ({"voters": (Member("a"),), "learners": (Member("a"),)}, "voters and learners: an identity occurs twice: a, a"),
        ({"outgoing": (Member("a"), Member("a"))}, "outgoing: an identity occurs twice"),
        ({"voters": (Member(""),)}, "'' in incarnation 0 cannot be a member"),
        ({"voters": (Member("x" * (NODE_ID_BYTES_MAX + 1)),)}, "cannot be a member"),
        ({"voters": (Member("é" * NODE_ID_BYTES_MAX),)}, "cannot be a member"),
        ({"voters": (Member("a", "", -1),)}, "'a' in incarnation -1 cannot be a member"),
        ({"voters": (Member("a", "", 1 << 63),)}, "cannot be a member"),
        ({"voters": (Member("a"),), "to_promote": ("a",)}, "to_promote: a: not among the learners"),
        ({"voters": tuple(Member(f"n{number}") for number in range(2 * MEMBERS_MAX + 1))}, "129 members, at most 128"),
    ],
)
def test_invalid_configurations_are_rejected(fields, why):
    with pytest.raises(ValueError, match=why):
        Configuration(**fields)


def test_members_and_their_roles():
    value = configuration("ab", learners="d", outgoing="abc", incarnations={"b": 3})
    assert [member.node_id for member in value.members] == ["a", "b", "d", "c"]
    assert value.member("c") == Member("c", "c:6000")
    assert value.member("z") is None
    assert (value.is_voter("b", 3), value.is_voter("b", 0), value.is_voter("c", 0), value.is_voter("d", 0)) == (
        True,
        False,
        True,
        False,
    )
    assert (value.is_learner("d"), value.is_learner("a")) == (True, False)
    assert value.is_joint
    assert not configuration("a").is_joint
    assert not Configuration()


def test_newer_incarnation_of_an_identity_is_the_member():
    older, newer = Member("a", "old:1", 1), Member("a", "new:1", 2)
    value = Configuration((Member("b"),), (newer,), (older, Member("b")))
    assert value.member("a") == newer
    assert value.members == (Member("b"), newer)
    assert (value.is_voter("a", 1), value.is_voter("a", 2)) == (True, False)


# --- encoding ---------------------------------------------------------------------------------------------------------


@given(configurations())
def test_decoding_reverses_encoding(value):
    assert Configuration.decode(value.encode()) == value
    assert Configuration.decode(value.encode()).encode() == value.encode()


def test_encoding_is_fixed():
    """Configurations are stored on disks."""
    value = configuration("ab", learners="c", to_promote="c", incarnations={"a": 7})
    assert value.encode() == (
        b'{"voters":[["a","a:6000",7],["b","b:6000",0]],"learners":[["c","c:6000",0]],"outgoing":[],"to_promote":["c"]}'
    )


def decodes_or_raises_value_error(data):
    try:
        value = Configuration.decode(data)
    except ValueError:
        return
    assert Configuration.decode(value.encode()) == value


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff")
@example(b"[]")
@example(b"[" * 100_000)
@example(b'{"voters":' + b"9" * 10_000 + b"}")
def test_any_bytes_decode_or_raise_value_error(data):
    decodes_or_raises_value_error(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
almost_members = st.lists(
    st.tuples(st.sampled_from(["a", "", "b"]), st.text(max_size=2), st.integers(-1, 2)) | json_values
)
almost = st.fixed_dictionaries(
    {},
    optional={
        "voters": almost_members | json_values,
        "learners": almost_members | json_values,
        "outgoing": almost_members | json_values,
        "to_promote": st.lists(st.sampled_from(["a", "b"])) | json_values,
        "more": json_values,
    },
)


@given(almost | json_values)
def test_similar_json_decodes_or_raises_value_error(fields):
    decodes_or_raises_value_error(json.dumps(fields).encode())


@given(configurations(), st.data())
def test_damaged_encoding_decodes_or_raises_value_error(value, data):
    encoded = bytearray(value.encode())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] = data.draw(st.integers(0, 255))
    decodes_or_raises_value_error(bytes(encoded[: data.draw(st.integers(0, len(encoded)))]))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{}", "not a configuration: KeyError"),
        (b'{"voters":[["a","",true]],"learners":[],"outgoing":[],"to_promote":[]}', "expected int, found True"),
        (b'{"voters":[["a",""]],"learners":[],"outgoing":[],"to_promote":[]}', "not a configuration"),
        (b'{"voters":["abc"],"learners":[],"outgoing":[],"to_promote":[]}', "expected list, found 'abc'"),
        (b'{"voters":[],"learners":[],"outgoing":[],"to_promote":[1]}', "expected str, found 1"),
        (b'{"voters":[],"learners":[],"outgoing":[],"to_promote":[],"more":1}', "unknown field 'more'"),
        (b'{"voters":[["\\ud800","",0]],"learners":[],"outgoing":[],"to_promote":[]}', "surrogates not allowed"),
    ],
)
def test_error_has_the_reason(data, why):
    with pytest.raises(ValueError, match=why):
        Configuration.decode(data)


# --- majorities, against a model --------------------------------------------------------------------------------------


def effective(value, group):
    """Return the identities of a group's members whose incarnation is the newest."""
    return [member.node_id for member in group if value.member(member.node_id) == member]


def decided(value, yes):
    """Return whether these identities are a majority of C_old and of C_new, as in §6."""
    groups = [group for group in (value.voters, value.outgoing) if group]
    return bool(groups) and all(2 * len(yes & set(effective(value, group))) > len(group) for group in groups)


@given(configurations(), st.sets(st.sampled_from(NAMES)))
def test_agreement_needs_a_majority_of_each_group(value, yes):
    assert Electorate(value).agreed(yes.__contains__) == decided(value, yes)


@given(configurations(), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 5)))
def test_reached_is_the_greatest_value_that_a_quorum_has(value, numbers):
    def has_reached(number):
        return {name for name, reached in numbers.items() if reached >= number}

    greatest = max((number for number in range(6) if decided(value, has_reached(number))), default=0)
    assert Electorate(value).reached(numbers) == greatest


@pytest.mark.parametrize(("voters", "quorum"), [("", 1), ("a", 1), ("ab", 2), ("abc", 2), ("abcd", 3), ("abcde", 3)])
def test_quorum_is_more_than_half(voters, quorum):
    assert Electorate(configuration(voters)).quorum == quorum


def test_replaced_incarnation_counts_as_unresponsive():
    """It counts as a voter of its group, and never replies."""
    older = Member("c", "c:6000", 1)
    value = Configuration(configuration("ab").voters, (Member("c", "c:6000", 2),), (*configuration("ab").voters, older))
    assert not Electorate(value).agreed({"a", "c"}.__contains__)
    assert Electorate(value).agreed({"a", "b"}.__contains__)


def quorums_of(value):
    """Return all sets of incarnations that are quorums."""
    everybody = {(m.node_id, m.incarnation) for m in value.voters + value.outgoing}
    groups = [{(m.node_id, m.incarnation) for m in group} for group in (value.voters, value.outgoing) if group]
    sets = (set(some) for size in range(len(everybody) + 1) for some in combinations(sorted(everybody), size))
    return [some for some in sets if groups and all(2 * len(some & group) > len(group) for group in groups)]


few = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)


@given(few, few, few, few)
def test_quorums_overlap_against_a_model(voters, outgoing, later_voters, later_outgoing):
    before, after = configuration(voters, outgoing=outgoing), configuration(later_voters, outgoing=later_outgoing)
    if not quorums_of(before) or not quorums_of(after):
        assert not quorums_overlap(before, after)
        return
    always = all(one & other for one in quorums_of(before) for other in quorums_of(after))
    # Quorums of two joint configurations, which are never adjacent, may overlap without a pair of groups that does.
    assert quorums_overlap(before, after) is always or (always and before.is_joint and after.is_joint)


@pytest.mark.parametrize(
    ("before", "after", "overlap"),
    [
        (configuration("abc"), configuration("abcd"), True),
        (configuration("abc"), configuration("abde"), False),
        (configuration("abc"), configuration("abde", outgoing="abc"), True),
        (configuration("abde", outgoing="abc"), configuration("abde"), True),
        (configuration("abc"), configuration("abc", incarnations={"c": 2}), False),
        (configuration("ab"), configuration("ab", incarnations={"a": 2}), True),
        (configuration("a"), configuration("a", incarnations={"a": 2}), False),
        (Configuration(), configuration("a"), False),
    ],
)
def test_adjacent_configurations_overlap(before, after, overlap):
    assert quorums_overlap(before, after) is overlap
