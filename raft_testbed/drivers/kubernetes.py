"""Driver for nodes that are Pods of a StatefulSet. On kind, the machines are this testbed's as well."""

import json
import shlex
import sys
import time
from typing import Any

from raft_testbed.drivers.deployment import Deployment
from raft_testbed.drivers.kernel_network import KernelClientNetwork, KernelNetwork
from raft_testbed.drivers.kind import KindCluster
from raft_testbed.drivers.kubernetes_api import Json, KubernetesApi, KubernetesError
from raft_testbed.events import LogEvent, events_since
from raft_testbed.nemesis.cluster import MachineAction, Signal, Unavailable
from raft_testbed.nemesis.errors import FaultError
from raft_testbed.nemesis.host import Host, run_command, this_machine
from raft_testbed.nemesis.view import ClusterView, NodeView, add_status

STATEFUL_SET = "raft"
SELECTOR = "app.kubernetes.io/name=raft"
STATUS_SECONDS_MAX = 1.5
POLL_SECONDS = 0.5
ROLL_OUT_SECONDS_MAX = 300
_FOREIGN = Unavailable("the cluster's machines are not this testbed's to enter")


class KubernetesCluster:
    """A StatefulSet. Its nodes are asked from the clients' Pod: only Pods resolve the nodes' names."""

    def __init__(self, deployment: Deployment, client_pod: str, unresponsive_seconds: float) -> None:
        self.api = KubernetesApi(deployment.kubeconfig, deployment.context, deployment.namespace)
        self._client_pod = client_pod
        self.system = deployment.system
        self.unresponsive_seconds = unresponsive_seconds
        self.control_host = this_machine(deployment.state_dir)
        self._container = self.api.stateful_set(STATEFUL_SET)["spec"]["template"]["spec"]["containers"][0]
        environment = {item["name"]: item.get("value", "") for item in self._container["env"]}
        self.election_timeout_seconds_max = int(environment["RAFT_ELECTION_TIMEOUT_MS_MAX"]) / 1000
        self._port = int(environment["RAFT_LISTEN"].rpartition(":")[2])

        self.pods = PodDeletion(self.api)
        self.scaling = StatefulSetScaling(self)
        self.images = StatefulSetImages(self.api, self._container["name"])
        kind = KindCluster(deployment.kind_cluster) if deployment.kind_cluster else None
        self._kind = kind
        self.signals = KindProcesses(self.api, kind) if kind else _FOREIGN
        self.containers = self.signals
        self.volumes = KindVolumes(self.api, self._container, environment["RAFT_DATA_DIR"]) if kind else _FOREIGN
        self.machines = KindMachines(self.api, kind) if kind else _FOREIGN
        self.network = KernelNetwork(self.signals) if isinstance(self.signals, KindProcesses) else _FOREIGN
        self.client_network = (
            KernelClientNetwork(self.signals, self._client_addresses, self._nodes_beside_client)
            if isinstance(self.signals, KindProcesses)
            else _FOREIGN
        )

    def hosts(self) -> list[Host]:
        return [self.control_host, *(self._kind.hosts() if self._kind else [])]

    def host_of(self, node_id: str) -> Host:
        if self._kind is None:
            raise FaultError(_FOREIGN.reason)
        return self._kind.host(machine_of(self.api.pod(node_id)))

    def view(self) -> ClusterView:
        nodes = []
        for name, pod in sorted(self.api.pods(SELECTOR).items()):
            container = container_status(pod)
            state = next(iter(container.get("state") or {"pending": None}))
            nodes.append(NodeView(name, short_id(str(container.get("containerID", ""))), state))
        endpoints = ",".join(self.address(node.id) for node in nodes)
        status = ["raftctl", "status", "--json", "--timeout", str(STATUS_SECONDS_MAX), "--endpoints", endpoints]
        try:
            output = self.api.execute(self._client_pod, ["sh", "-c", f"{shlex.join(status)} || true"])
            return add_status(nodes, json.loads(output)["nodes"])
        except (KubernetesError, ValueError, KeyError):  # a fault may affect the clients' own machine
            return ClusterView(nodes)

    def start_script(self, node_id: str) -> str:
        return "true"  # the kubelet starts it

    def ensure_started(self, node_id: str) -> None:
        """Replace a Pod that is in CrashLoopBackOff: a new Pod starts at once."""
        pod = self.api.pods(SELECTOR).get(node_id, {"status": {}})  # none while the StatefulSet creates another one
        waiting = (container_status(pod).get("state") or {}).get("waiting") or {}
        if waiting.get("reason") == "CrashLoopBackOff":
            self.api.delete_pod(node_id)

    def start_failure(self, node_id: str, process_before: str, seconds_max: float) -> str:
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            container = container_status(self.api.pod(node_id))
            state = failed_state(container, process_before)
            if state:
                return f"exit status {container[state]['terminated']['exitCode']}: {self._last_lines(node_id, state)}"
            time.sleep(POLL_SECONDS)
        return ""

    def log_events(self, node_id: str, since: float) -> list[LogEvent]:
        lines: list[str] = []
        for previous in (True, False):
            try:
                lines += self.api.log(node_id, previous=previous, since=since).splitlines()
            except KubernetesError:  # no such incarnation
                continue
        return events_since(lines, since)

    def raftctl(self, *arguments: str, seconds_max: float = 60.0) -> str:
        return self.api.execute(self._client_pod, self._raftctl_command(*arguments), seconds_max)

    def raftctl_script(self, *arguments: str) -> str:
        return driver_script(self.api, "exec", self._client_pod, "--", *self._raftctl_command(*arguments))

    def address(self, node_id: str) -> str:
        return f"{node_id}.service-raft:{self._port}"

    def _raftctl_command(self, *arguments: str) -> list[str]:
        endpoints = ",".join(self.address(name) for name in sorted(self.api.pods(SELECTOR)))
        return ["env", f"RAFT_ENDPOINTS={endpoints}", "raftctl", *arguments]

    def _last_lines(self, node_id: str, state: str) -> str:
        try:
            return self.api.log(node_id, previous=state == "lastState", tail_lines=3)
        except KubernetesError as error:
            return str(error)

    def _client_addresses(self) -> list[str]:
        """Return the addresses of the clients' Pod and of its machine, which replaces it after address translation."""
        status = self.api.pod(self._client_pod)["status"]
        return [str(status["podIP"]), str(status["hostIP"])]

    def _nodes_beside_client(self) -> list[str]:
        machine = machine_of(self.api.pod(self._client_pod))
        return sorted(name for name, pod in self.api.pods(SELECTOR).items() if pod["spec"].get("nodeName") == machine)


class PodDeletion:
    """Deletion of the nodes' Pods."""

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def delete(self, node_ids: list[str]) -> None:
        for node_id in node_ids:
            self._api.delete_pod(node_id)


class StatefulSetScaling:
    """The StatefulSet's number of replicas."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster

    def add(self, node_ids: list[str]) -> dict[str, str]:
        api = self._cluster.api
        count = len(api.pods(SELECTOR)) + len(node_ids)
        api.scale(STATEFUL_SET, count)
        deadline = time.monotonic() + ROLL_OUT_SECONDS_MAX
        # not until they are ready: a node knows a leader only when it is a member
        while not self._are_running(count):
            if time.monotonic() > deadline:
                raise FaultError(f"{', '.join(node_ids)} do not run within {ROLL_OUT_SECONDS_MAX} s")
            time.sleep(POLL_SECONDS)
        return {node_id: self._cluster.address(node_id) for node_id in node_ids}

    def remove_script(self, node_ids: list[str]) -> str:
        """Return a script that scales down and deletes the volumes: a later node of that name must start empty."""
        replicas = min(int(node_id.rpartition("-")[2]) for node_id in node_ids)
        return driver_script(self._cluster.api, "remove", str(replicas), *node_ids)

    def _are_running(self, count: int) -> bool:
        pods = self._cluster.api.pods(SELECTOR)
        return len(pods) == count and all(
            "running" in (container_status(pod).get("state") or {}) for pod in pods.values()
        )


class StatefulSetImages:
    """The image of the StatefulSet."""

    def __init__(self, api: KubernetesApi, container: str) -> None:
        self._api = api
        self._container = container

    def current(self) -> dict[str, str]:
        return {name: pod["spec"]["containers"][0]["image"] for name, pod in self._api.pods(SELECTOR).items()}

    def retag(self, tag: str) -> tuple[str, str]:
        image = str(self._api.stateful_set(STATEFUL_SET)["spec"]["template"]["spec"]["containers"][0]["image"])
        other = f"{image.rpartition(':')[0]}:{tag}"
        for command in (["pull", "-q", image], ["tag", image, other], ["push", "-q", other]):
            run_command(["docker", *command], seconds_max=ROLL_OUT_SECONDS_MAX)
        return image, other

    def roll_out_script(self, image: str) -> str:
        return driver_script(self._api, "roll-out", self._container, image)


class KindProcesses:
    """The processes of Pods on kind, seen from their machines."""

    def __init__(self, api: KubernetesApi, kind: KindCluster) -> None:
        self._api = api
        self._kind = kind

    def hosts(self) -> list[Host]:
        return self._kind.hosts()

    def host_of(self, node_id: str) -> Host:
        return self._kind.host(machine_of(self._api.pod(node_id)))

    def addresses(self) -> dict[str, str]:
        return {name: str(pod["status"]["podIP"]) for name, pod in self._api.pods(SELECTOR).items()}

    def pid(self, node_id: str) -> int:
        return self._pids(node_id)[0]

    def script(self, node_id: str, signal: Signal) -> str:
        first, *others = map(str, self._pids(node_id))
        # the others end with the first one
        also = f"; kill -{signal} {' '.join(others)} 2> /dev/null || true" if others else ""
        return f"(kill -{signal} {first} || exit 1{also})"

    def kill(self, node_id: str) -> None:
        container = self._container_id(node_id)
        self.host_of(node_id).run(f"ctr --namespace k8s.io task kill --signal SIGKILL {container}")

    def _pids(self, node_id: str) -> list[int]:
        """Return the container's process ids on its machine, the first process first."""
        container = self._container_id(node_id)
        # inside the container, the first process has number 1
        script = (
            f"for file in $(grep -l {container} /proc/[0-9]*/cgroup 2> /dev/null); do\n"
            "  directory=${file%/cgroup}\n"
            "  echo $(awk '/^NSpid:/ {print $NF}' $directory/status 2> /dev/null) ${directory#/proc/}\n"
            "done"
        )
        found = [line.split() for line in self.host_of(node_id).run(script).splitlines()]
        pids = [int(outside) for _, outside in sorted((int(f[0]), f[1]) for f in found if len(f) == 2)]
        if not pids:
            raise FaultError(f"{node_id}: no process of container {container}")
        return pids

    def _container_id(self, node_id: str) -> str:
        found = str(container_status(self._api.pod(node_id)).get("containerID", ""))
        if not found:
            raise FaultError(f"{node_id} has no container")
        return found.partition("://")[2]


class KindVolumes:
    """The volumes of Pods on kind: directories of their machines."""

    def __init__(self, api: KubernetesApi, container: Json, data_dir: str) -> None:
        self._api = api
        self._container = container
        self._data_dir = data_dir

    def data_dir(self, node_id: str) -> str:
        volume = self._api.persistent_volume(f"data-{node_id}")["spec"]
        path = (volume.get("local") or volume.get("hostPath") or {}).get("path")
        if path is None:
            raise FaultError(f"{node_id}: its volume is no directory of a kind node")
        mount = next(mount["mountPath"] for mount in self._container["volumeMounts"] if mount["name"] == "data")
        return str(path) + self._data_dir.removeprefix(mount)

    def mount_unavailable(self) -> str:
        return ""

    def kill_users_script(self, node_id: str, data_dir: str) -> str:
        # only processes in other mount namespaces that started since see the file system
        return "\n".join(
            (
                f"device=$(findmnt -n -o MAJ:MIN -M {shlex.quote(data_dir)} | tr -d ' ')",
                'for pid in $(grep -l " $device " /proc/[0-9]*/mountinfo 2> /dev/null | cut -d / -f 3); do',
                '  [ "$(readlink /proc/$pid/ns/mnt)" = "$(readlink /proc/$$/ns/mnt)" ] || kill -9 "$pid"',
                "done",
            )
        )


class KindMachines:
    """The machines of kind that run Pods."""

    def __init__(self, api: KubernetesApi, kind: KindCluster) -> None:
        self._api = api
        self._kind = kind

    def unavailable(self) -> str:
        return self._kind.workers_unavailable()

    def machine_of(self, node_id: str) -> str:
        return machine_of(self._api.pod(node_id))

    def host(self, machine: str) -> Host:
        return self._kind.host(machine)

    def script(self, machine: str, action: MachineAction) -> str:
        return self._kind.script(machine, action)

    def state(self, machine: str) -> str:
        return self._kind.state(machine)


def driver_script(api: KubernetesApi, *arguments: str) -> str:
    """Return a script for the control host that runs a command of `raft_testbed.drivers` on a namespace."""
    target = ["--kubeconfig", api.kubeconfig, "--context", api.context, "--namespace", api.namespace]
    return shlex.join([sys.executable, "-m", "raft_testbed.drivers", *target, *arguments])


def machine_of(pod: Json) -> str:
    """Return the Kubernetes node that runs a Pod."""
    return str(pod["spec"]["nodeName"])


def container_status(pod: Json) -> dict[str, Any]:
    """Return the status of the only container of a node's Pod; empty before it exists."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0]
    return found


def failed_state(container: Json, process_before: str) -> str:
    """Return which state of a container status shows a failure after a process: `state` or `lastState`; empty: neither.

    `process_before` is the process' short container id.
    """
    if short_id(str(container.get("containerID", ""))) == process_before:
        return ""
    for name in ("state", "lastState"):
        ended = (container.get(name) or {}).get("terminated")
        if ended and short_id(ended["containerID"]) != process_before and ended["exitCode"] != 0:
            return name
    return ""


def short_id(container_id: str) -> str:
    """Return the beginning of a container's id, without the name of its runtime."""
    return container_id.partition("://")[2][:12]
