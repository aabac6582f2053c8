"""Load Ansible plugins as Python modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def load_plugin(kind: str, name: str) -> ModuleType:
    """Return a plugin of `plugins/<kind>` as a module, loaded by path as Ansible does."""
    path = ROOT / "plugins" / kind / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
