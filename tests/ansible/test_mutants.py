"""The testbed detects each mutant in a real cluster, here of processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.mutants import DETECTED_BY, NO_MUTANT, Testbed, judge

pytestmark = [pytest.mark.mutants_e2e, pytest.mark.timeout(900), pytest.mark.xdist_group("chaos")]


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Testbed]:
    testbed = Testbed("local", tmp_path / "state", tmp_path / "artifacts")
    yield testbed
    testbed.clear()


@pytest.mark.parametrize("mutant", [NO_MUTANT, *DETECTED_BY])
def test_mutant_is_detected_and_named_in_the_report(testbed: Testbed, mutant: str) -> None:
    outcome = judge(testbed, mutant)
    outcome.check()
    page = (outcome.run / "report.html").read_text(encoding="utf-8")
    assert ("The nodes run a mutant" in page) == (mutant != NO_MUTANT)
    assert mutant == NO_MUTANT or mutant in page
