"""A cluster for one test, and one for all those that only use it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clusters import Cluster


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A directory for a cluster of the test's own, of which nothing is left in the end."""
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    cluster.wipe()


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A cluster of three for tests that only use it."""
    cluster = Cluster(tmp_path_factory.mktemp("shared") / "cluster")
    try:
        yield cluster.up()
    finally:
        cluster.wipe()


@pytest.fixture(scope="session")
def endpoints(running_cluster: dict[str, Any]) -> str:
    return running_cluster["endpoints"]
