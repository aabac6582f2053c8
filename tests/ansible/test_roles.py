"""Every role says what it takes, in both places where people look."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_have_the_same_inputs(role: str) -> None:
    entry_points = read(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    described = {name for entry in entry_points.values() for name in entry["options"]}
    assert described == set(read(ROOT / "roles" / role / "defaults" / "main.yml"))


@pytest.mark.parametrize("role", ROLES)
def test_inputs_carry_the_roles_name(role: str) -> None:
    defaults = read(ROOT / "roles" / role / "defaults" / "main.yml")
    assert [name for name in defaults if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_entry_point_and_input_is_described(role: str) -> None:
    entry_points = read(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    for name, entry in entry_points.items():
        assert entry["short_description"], name
        assert [option for option, what in entry["options"].items() if not what["description"]] == []
        assert (ROOT / "roles" / role / "tasks" / f"{name}.yml").is_file()
