"""The examples of docs/examples, loaded from their files."""

import importlib.util
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def _load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LockService = _load("lock_service").LockService
