"""Configure pytest and Hypothesis."""

import pytest
from hypothesis import settings

# Derive the examples from the test, so that a failure can be repeated. Set no deadline: the machine may be busy.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option --rewrite of `tests/unit/core/test_scripts.py`."""
    parser.addoption("--rewrite", action="store_true", help="update the expected output in tests/scripts/*.txt")
