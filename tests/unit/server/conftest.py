"""The fixture `cluster`: three nodes with an elected leader. Test files that need other options define their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nodes import NodeCluster


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NodeCluster]:
    cluster = NodeCluster(tmp_path)
    cluster.run(2.0)
    yield cluster
    cluster.close()
