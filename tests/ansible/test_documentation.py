"""`ansible-doc` documents every filter, module and role entry point."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.ansible.conftest import ROOT
from tests.ansible.plugins import load_plugin

FILTERS = sorted(
    name
    for path in (ROOT / "plugins" / "filter").glob("*.py")
    for name in load_plugin("filter", path.stem).FilterModule().filters()
)
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def ansible_doc(kind: str, *names: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "doc", "--type", kind, "--json", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(("kind", "names"), [("filter", FILTERS), ("module", MODULES)])
def test_every_plugin_is_documented(kind: str, names: list[str]) -> None:
    documented = ansible_doc(kind, *names)
    assert sorted(documented) == names
    for name, parts in documented.items():
        assert parts["doc"]["short_description"], name
        assert [option for option, what in parts["doc"]["options"].items() if not what["description"]] == []
        assert parts["examples"], name
        assert parts["return"], name


def test_no_documentation_is_left_of_a_removed_filter() -> None:
    assert sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.yml")) == FILTERS
