"""Fixtures: a cluster for one test, and a shared one for tests that do not change it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clusters import Cluster


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yield a cluster for one test, without nodes; remove it at the end."""
    cluster = Cluster(tmp_path / "cluster")
    yield cluster
    cluster.wipe()


@pytest.fixture(scope="session")
def running_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Yield a cluster of three nodes for tests that do not change it."""
    cluster = Cluster(tmp_path_factory.mktemp("shared") / "cluster")
    try:
        yield cluster.up()
    finally:
        cluster.wipe()


@pytest.fixture(scope="session")
def endpoints(running_cluster: dict[str, Any]) -> str:
    return running_cluster["endpoints"]
