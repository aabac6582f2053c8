"""The testbed can say no: each planted bug is found in a real cluster, here of processes on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.planted import FOUND_BY, NO_BUG, Testbed, find

pytestmark = [pytest.mark.planted, pytest.mark.timeout(900), pytest.mark.xdist_group("chaos")]


@pytest.fixture
def testbed(tmp_path: Path) -> Iterator[Testbed]:
    found = Testbed("local", tmp_path / "state", tmp_path / "artifacts")
    yield found
    found.clear()


@pytest.mark.parametrize("mutant", [NO_BUG, *FOUND_BY])
def test_the_bug_is_found_and_the_report_names_it(testbed: Testbed, mutant: str) -> None:
    outcome = find(testbed, mutant)
    outcome.check()
    page = (outcome.run / "report.html").read_text(encoding="utf-8")
    assert ("broken on purpose" in page) == (mutant != NO_BUG)
    assert mutant == NO_BUG or mutant in page
