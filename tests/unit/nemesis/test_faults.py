"""What a fault needs, affects and leads the judge to expect."""

from pathlib import Path
from random import Random
from typing import Any

import pytest

from raft_testbed.faults import FaultRecord
from raft_testbed.nemesis.catalogue import CATALOGUE, find_fault
from raft_testbed.nemesis.cluster import Unavailable, require
from raft_testbed.nemesis.errors import FaultError
from raft_testbed.nemesis.injection import Injection
from raft_testbed.nemesis.network import PartitionRing
from tests.unit.nemesis.clusters import view

CAPABILITIES = (
    "signals",
    "volumes",
    "network",
    "client_network",
    "pods",
    "containers",
    "images",
    "scaling",
    "machines",
)


class BareCluster:
    """A cluster without any capability."""

    system = "raft_pkg"
    election_timeout_seconds_max = 0.3
    unresponsive_seconds = 1.0

    def __init__(self) -> None:
        for name in CAPABILITIES:
            setattr(self, name, Unavailable(f"no {name} here"))


def slo_seconds(fault: str, targets: list[str], nodes: int) -> float | None:
    cluster: Any = BareCluster()
    return CATALOGUE[fault].unavailability_slo_seconds(cluster, targets, view(nodes))


def test_an_unknown_fault_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown fault 'explode'; known: .*partition"):
        find_fault("explode")


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - {"transfer", "clock-jump"}))
def test_a_fault_is_unavailable_for_the_reason_of_the_missing_capability(name: str) -> None:
    cluster: Any = BareCluster()
    fault = CATALOGUE[name]
    assert fault.needs
    assert fault.unavailable(cluster) == f"no {fault.needs[0]} here"


def test_require_returns_the_capability_or_raises_its_reason() -> None:
    assert require(7) == 7
    with pytest.raises(FaultError, match="no volumes"):
        require(Unavailable("no volumes"))


@pytest.mark.parametrize("name", ["log-torn", "bits-flipped"])
def test_faults_of_the_log_need_the_format_of_raft_pkg(name: str) -> None:
    cluster: Any = BareCluster()
    cluster.signals = cluster.volumes = object()
    assert CATALOGUE[name].unavailable(cluster) == ""
    cluster.system = "another"
    assert "another" in CATALOGUE[name].unavailable(cluster)


@pytest.mark.parametrize(
    ("fault", "targets", "nodes", "seconds"),
    [
        ("kill", ["raft-0"], 3, 0.9),
        ("kill", ["raft-0", "raft-1"], 3, None),
        ("kill", ["raft-0"], 1, None),
        ("partition", ["raft-0"], 3, 1.9),  # unresponsive: clients detect it by a time-out
        ("partition-incoming", ["raft-0"], 3, None),
        ("client-partition", ["raft-0"], 3, None),
        ("loss", ["raft-0", "raft-1", "raft-2"], 3, None),
        ("rolling-restart", ["raft-0", "raft-1", "raft-2"], 3, 1.9),
        ("rolling-restart", ["raft-0", "raft-1"], 2, None),
        ("image-upgrade", ["raft-0", "raft-1", "raft-2"], 3, 1.9),
        ("scale", ["raft-0", "raft-1", "raft-2"], 3, 0.9),
    ],
)
def test_the_unavailability_slo_is_three_election_timeouts_while_a_majority_is_unaffected(
    fault: str, targets: list[str], nodes: int, seconds: float | None
) -> None:
    assert slo_seconds(fault, targets, nodes) == (None if seconds is None else pytest.approx(seconds))


def test_a_ring_leaves_each_node_a_different_majority() -> None:
    links = PartitionRing().links(view(5), [])
    ids = view(5).ids
    reachable = {one: frozenset(other for other in ids if (one, other) not in links) for one in ids}
    assert all(len(others) == 3 for others in reachable.values())
    assert len(set(reachable.values())) == 5


def test_a_ring_of_fewer_than_five_nodes_is_an_error() -> None:
    with pytest.raises(FaultError, match="five nodes"):
        PartitionRing().links(view(3), [])


def test_options_replace_the_defaults_of_the_fault_only() -> None:
    record = FaultRecord("loss", options={"drop": 0.5, "unknown": 1})
    assert CATALOGUE["loss"].settings(record) == {"drop": 0.5}
    assert CATALOGUE["delay"].settings(FaultRecord("delay")) == {"delay_ms_min": 5, "delay_ms_max": 40}


def test_a_killed_leader_must_be_replaced_in_a_later_term() -> None:
    cluster: Any = BareCluster()
    for term_before, holds in ((2, True), (3, False)):
        record = FaultRecord("kill", targets=["raft-1"], leader_before="raft-1", term_before=term_before, seconds=0.0)
        injection = Injection("kill-1", record, 9.0, processes_before={"raft-1": "another"})
        CATALOGUE["kill"].verify(cluster, injection, view(3))
        assert [item.holds for item in record.evidence] == [holds, True]


def test_an_injection_survives_json() -> None:
    record = FaultRecord("kill", targets=["raft-1"], seconds=0.0, injected_at=1_700_000_000.25)
    record.add_evidence("raft-1 runs as another process", True, "1 before, 2 now")
    injection = Injection("kill-1", record, 9.0, {"raft-1": "1"}, {"order": ["raft-1"]}, "failed")
    assert Injection.from_json(injection.to_json()) == injection


def test_every_fault_has_a_description() -> None:
    assert [name for name, fault in CATALOGUE.items() if not type(fault).__doc__] == []


def test_the_reference_documents_every_fault_and_option() -> None:
    reference = (Path(__file__).parents[3] / "docs" / "reference" / "faults.md").read_text(encoding="utf-8")
    assert [name for name in CATALOGUE if f"`{name}`" not in reference] == []
    options = [f"`{name}: {default}`" for fault in CATALOGUE.values() for name, default in fault.defaults.items()]
    assert [option for option in options if option not in reference] == []


def test_targets_without_expansion_stay_the_targets() -> None:
    cluster: Any = BareCluster()
    assert CATALOGUE["kill"].expand_targets(cluster, view(3), ["raft-1"], Random(1)) == ["raft-1"]
