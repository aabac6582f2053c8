"""Choice of the driver for a deployed cluster."""

from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.local import LocalProcesses
from raft_testbed.nemesis.cluster import Cluster


def open_cluster(deployment: Deployment, *, client_pod: str, unresponsive_seconds: float) -> Cluster:
    """Return the deployed cluster.

    `client_pod` is the Pod from which nodes of Kubernetes are reached; `unresponsive_seconds` is how long the run's
    clients wait for an unresponsive node. Raise `CommandError` if the platform does not answer.
    """
    if deployment.orchestrator == "local":
        return LocalProcesses(deployment, unresponsive_seconds)
    from raft_testbed.drivers.kubernetes import KubernetesCluster  # noqa: PLC0415 - needs the extra `kubernetes`

    return KubernetesCluster(deployment, client_pod, unresponsive_seconds)
