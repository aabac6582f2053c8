"""Defaults, argument specs and names of the inputs of every role."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for place in ("roles", "offline/roles") for path in (ROOT / place).iterdir() if path.is_dir())
by_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


@by_role
def test_defaults_and_argument_specs_have_the_same_inputs(role: Path) -> None:
    entry_points = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    described = {name for entry in entry_points.values() for name in entry["options"]}
    assert described == set(read(role / "defaults" / "main.yml"))


@by_role
def test_input_names_begin_with_the_name_of_the_role(role: Path) -> None:
    defaults = read(role / "defaults" / "main.yml")
    assert [name for name in defaults if not name.startswith(f"{role.name}_")] == []


@by_role
def test_every_entry_point_and_input_is_described(role: Path) -> None:
    entry_points = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    for name, entry in entry_points.items():
        assert entry["short_description"], name
        assert [option for option, what in entry["options"].items() if not what["description"]] == []
        assert (role / "tasks" / f"{name}.yml").is_file()
