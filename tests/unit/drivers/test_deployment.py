"""What the drivers read from the deployment state."""

import pytest

from raft_pkg.errors import ConfigurationError
from raft_testbed.drivers.deployment import Deployment

LOCAL = {"orchestrator": "local", "state_dir": "/s", "raftctl": "/bin/raftctl", "dir": "/s/local", "replicas": 3}


def test_a_deployment_state_without_a_system_is_of_raft_pkg() -> None:
    deployment = Deployment.from_json(LOCAL)
    assert (deployment.system, deployment.dir, deployment.faults_skipped) == ("raft_pkg", "/s/local", {})


def test_a_system_may_skip_faults() -> None:
    system = {"name": "etcd", "faults_skipped": {"scale": "the adapter does not change members"}}
    deployment = Deployment.from_json({**LOCAL, "system": system})
    assert deployment.system == "etcd"
    assert deployment.faults_skipped == {"scale": "the adapter does not change members"}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "orchestrator None"),
        ({**LOCAL, "orchestrator": "nomad"}, "'nomad' is neither kubernetes nor local"),
        ({**LOCAL, "dir": ""}, "dir is missing"),
        ({"orchestrator": "kubernetes", "state_dir": "/s", "context": "c"}, "kubeconfig, namespace is missing"),
    ],
)
def test_an_incomplete_deployment_state_is_rejected_with_the_member(state: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Deployment.from_json(state)
