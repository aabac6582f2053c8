"""What holds for all tests."""

import pytest
from hypothesis import settings

# The same examples every time, and no deadline: a busy machine is no failure, and a failure comes again.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `tests/unit/core/test_scripts.py` understands besides."""
    parser.addoption("--rewrite", action="store_true", help="write into tests/scripts/*.txt what the core does now")
