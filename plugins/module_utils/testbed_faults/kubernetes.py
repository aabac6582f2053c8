"""A cluster in Kubernetes, whose machines are kind's containers or somebody else's."""

from __future__ import annotations

import json
import shlex
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.testbed_faults.fault import FaultError
from ansible.module_utils.testbed_faults.shell import Place, ShellError, kind_node, run, this_machine
from ansible.module_utils.testbed_faults.view import NodeView, View, events_since, system_name, view_from_status

SELECTOR = "app.kubernetes.io/name=raft"
STATUS_SECONDS_MAX = 1.5
POLL_SECONDS = 0.5
ROLLOUT_SECONDS_MAX = 300


class KubernetesCluster:
    """See cluster.py. Asked from within the client's Pod, since only there the nodes' names mean something."""

    platform = "kubernetes"

    def __init__(self, record: dict[str, Any], client_pod: str, client_silence_seconds: float) -> None:
        self._namespace = str(record["namespace"])
        self._kubectl = [
            "kubectl",
            *("--kubeconfig", str(Path(record["kubeconfig"]).expanduser())) * (":" not in record["kubeconfig"]),
            "--context",
            str(record["context"]),
            "--namespace",
            self._namespace,
        ]
        self._client_pod = client_pod
        self.kind = record.get("kind_cluster", "")
        self.client_silence_seconds = client_silence_seconds
        self.system = system_name(record)
        self.machine = this_machine(record["state_dir"])
        statefulset = self.get("statefulset", "raft")
        self._container = statefulset["spec"]["template"]["spec"]["containers"][0]
        environment = {item["name"]: item.get("value", "") for item in self._container["env"]}
        self.election_seconds_max = int(environment["RAFT_ELECTION_TIMEOUT_MS_MAX"]) / 1000
        self._data_dir = environment["RAFT_DATA_DIR"]
        self._port = int(environment["RAFT_LISTEN"].rpartition(":")[2])

    # --- Kubernetes -------------------------------------------------------------------------------------------------

    def kubectl(self, *arguments: str, seconds: float = 60.0) -> str:
        return run([*self._kubectl, *arguments], seconds=seconds).decode(errors="replace").strip()

    def kubectl_script(self, *arguments: str) -> str:
        return shlex.join([*self._kubectl, *arguments])

    def get(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "-o", "json"))
        return found

    def pods(self) -> dict[str, dict[str, Any]]:
        """The nodes' Pods by name."""
        return {pod["metadata"]["name"]: pod for pod in self.get("pods", "-l", SELECTOR)["items"]}

    def pod(self, node_id: str) -> dict[str, Any]:
        return self.get("pod", node_id)

    # --- what every cluster has -------------------------------------------------------------------------------------

    def places(self) -> list[Place]:
        nodes = run(["kind", "get", "nodes", "--name", self.kind]).decode().split() if self.kind else []
        running = [node for node in sorted(nodes) if self._runs(node)]
        return [self.machine, *map(kind_node, running)]

    def view(self) -> View:
        nodes = []
        for name, pod in sorted(self.pods().items()):
            container = container_status(pod)
            state = next(iter(container.get("state") or {"pending": None}))
            nodes.append(NodeView(name, short(str(container.get("containerID", ""))), state))
        endpoints = ",".join(self._address(node.id) for node in nodes)
        try:
            command = ("status", "--json", "--timeout", str(STATUS_SECONDS_MAX), "--endpoints", endpoints)
            status = self.kubectl(
                "exec", self._client_pod, "--", "sh", "-c", f"{shlex.join(['raftctl', *command])} || true"
            )
            return view_from_status(nodes, json.loads(status))
        except (ShellError, ValueError):  # the client's own machine may be the one that suffers
            return View(nodes)

    def place_of(self, node_id: str) -> Place:
        return kind_node(self.machine_of(node_id))

    def pid_of(self, node_id: str) -> int:
        return self._pids_of(node_id)[0]

    def signal_script(self, node_id: str, signal: str) -> str:
        first, *others = map(str, self._pids_of(node_id))
        # the first one takes the others with it when it ends
        also = f"; kill -{signal} {' '.join(others)} 2> /dev/null || true" if others else ""
        return f"(kill -{signal} {first} || exit 1{also})"

    def _pids_of(self, node_id: str) -> list[int]:
        """The container's processes, as the kind node numbers them; the first one first."""
        container = self.container_of(node_id)
        # inside the container, the first one is number 1
        script = (
            f"for file in $(grep -l {container} /proc/[0-9]*/cgroup 2> /dev/null); do\n"
            "  place=${file%/cgroup}\n"
            "  echo $(awk '/^NSpid:/ {print $NF}' $place/status 2> /dev/null) ${place#/proc/}\n"
            "done"
        )
        found = [line.split() for line in self.place_of(node_id).run(script).splitlines()]
        pids = [int(outside) for _, outside in sorted((int(f[0]), f[1]) for f in found if len(f) == 2)]
        if not pids:
            raise FaultError(f"{node_id}: no process of container {container}")
        return pids

    def data_dir(self, node_id: str) -> str:
        claim = self.get("pvc", f"data-{node_id}")
        volume = self.get("pv", claim["spec"]["volumeName"])["spec"]
        path = (volume.get("local") or volume.get("hostPath") or {}).get("path")
        if path is None:
            raise FaultError(f"{node_id}: its volume is no directory of a kind node")
        mount = next(mount["mountPath"] for mount in self._container["volumeMounts"] if mount["name"] == "data")
        return path + self._data_dir.removeprefix(mount)

    def start_script(self, node_id: str) -> str:
        return "true"  # the kubelet starts it

    def end_script(self, node_id: str, data_dir: str) -> str:
        # only those see the file system that were started since, in mount namespaces of their own
        return "\n".join(
            (
                f"device=$(findmnt -n -o MAJ:MIN -M {shlex.quote(data_dir)} | tr -d ' ')",
                'for pid in $(grep -l " $device " /proc/[0-9]*/mountinfo 2> /dev/null | cut -d / -f 3); do',
                '  [ "$(readlink /proc/$pid/ns/mnt)" = "$(readlink /proc/$$/ns/mnt)" ] || kill -9 "$pid"',
                "done",
            )
        )

    def start_again(self, node_id: str) -> None:
        """The kubelet does, but ever later after each failure; another Pod is started at once."""
        pod = self.pods().get(node_id, {"status": {}})  # there is none while the StatefulSet makes another one
        waiting = (container_status(pod).get("state") or {}).get("waiting") or {}
        if waiting.get("reason") == "CrashLoopBackOff":
            self.kubectl("delete", "pod", "--wait=false", "--ignore-not-found", node_id)

    def failure_of(self, node_id: str, process_before: str, seconds_max: float) -> str:
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            container = container_status(self.pod(node_id))
            state = failed_state(container, process_before)
            if state:
                status = container[state]["terminated"]["exitCode"]
                return f"exit status {status}: {self._last_words(node_id, state)}"
            time.sleep(POLL_SECONDS)
        return ""

    def log_of(self, node_id: str, since: float) -> list[dict[str, Any]]:
        begin = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        texts = []
        for previous in (["--previous"], []):
            try:
                texts.append(self.kubectl("logs", node_id, "--since-time", begin, *previous))
            except ShellError:
                continue
        return events_since("\n".join(texts), since)

    def raftctl(self, *arguments: str, seconds: float = 60.0) -> str:
        return self.machine.run(self.raftctl_script(*arguments), seconds=seconds)

    def raftctl_script(self, *arguments: str) -> str:
        endpoints = ",".join(self._address(name) for name in sorted(self.pods()))
        command = ["env", f"RAFT_ENDPOINTS={endpoints}", "raftctl", *arguments]
        return self.kubectl_script("exec", self._client_pod, "--", *command)

    def more_nodes(self, node_ids: list[str]) -> dict[str, str]:
        """Scale up; the new nodes are no members yet; returns their addresses."""
        count = len(self.pods()) + len(node_ids)
        self.kubectl("scale", "statefulset", "raft", f"--replicas={count}")
        deadline = time.monotonic() + ROLLOUT_SECONDS_MAX
        # ready means that a leader is known, and a node that is no member knows none
        while any(
            "running" not in (container_status(pod).get("state") or {}) for pod in self.pods().values()
        ) or count != len(self.pods()):
            if time.monotonic() > deadline:
                raise FaultError(f"{', '.join(node_ids)} do not run within {ROLLOUT_SECONDS_MAX} s")
            time.sleep(POLL_SECONDS)
        return {node_id: self._address(node_id) for node_id in node_ids}

    def fewer_script(self, node_ids: list[str]) -> str:
        """Scale down again, and remove the volumes: a node that comes again must begin anew."""
        count = min(int(node_id.rpartition("-")[2]) for node_id in node_ids)
        wait = ("wait", "--for=delete", "--timeout=60s", *(f"pod/{name}" for name in node_ids))
        return "\n".join(
            [
                self.kubectl_script("scale", "statefulset", "raft", f"--replicas={count}"),
                f"{self.kubectl_script(*wait)} || true",
                self.kubectl_script("delete", "pvc", "--ignore-not-found", *(f"data-{name}" for name in node_ids)),
            ]
        )

    # --- what only Kubernetes has -----------------------------------------------------------------------------------

    def machine_of(self, node_id: str) -> str:
        return str(self.pod(node_id)["spec"]["nodeName"])

    def lone_machine(self) -> str:
        """Why no machine can be broken; empty where there are others that Pods run on."""
        nodes = run(["kind", "get", "nodes", "--name", self.kind]).decode().split()
        workers = len([node for node in nodes if "worker" in node])
        return "" if workers > 1 else f"with {workers} worker(s), breaking one takes everything"

    def container_of(self, node_id: str) -> str:
        found = str(container_status(self.pod(node_id)).get("containerID", ""))
        if not found:
            raise FaultError(f"{node_id} has no container")
        return found.partition("://")[2]

    def address_of(self, node_id: str) -> str:
        return str(self.pod(node_id)["status"]["podIP"])

    def client_addresses(self) -> list[str]:
        """Of the clients' Pod, and of its machine, which stands in for it where Pods' addresses are translated."""
        status = self.pod(self._client_pod)["status"]
        return [str(status["podIP"]), str(status["hostIP"])]

    def nodes_beside_client(self) -> list[str]:
        """Nodes on the clients' machine."""
        machine = self.machine_of(self._client_pod)
        return sorted(name for name, pod in self.pods().items() if pod["spec"].get("nodeName") == machine)

    def inside_network(self, node_id: str) -> str:
        """Beginning of a command, for the node's place, that runs in the Pod's network."""
        return f"nsenter -t {self.pid_of(node_id)} -n"

    def images(self) -> dict[str, str]:
        return {name: pod["spec"]["containers"][0]["image"] for name, pod in self.pods().items()}

    def other_image(self, tag: str) -> tuple[str, str]:
        """The image that runs, and the same under another name, in the registry."""
        image = str(self.get("statefulset", "raft")["spec"]["template"]["spec"]["containers"][0]["image"])
        other = f"{image.rpartition(':')[0]}:{tag}"
        for command in (
            ["docker", "pull", "-q", image],
            ["docker", "tag", image, other],
            ["docker", "push", "-q", other],
        ):
            run(command, seconds=ROLLOUT_SECONDS_MAX)
        return image, other

    def image_script(self, image: str) -> str:
        """Script that gives the nodes this image, one after the other."""
        name = self._container["name"]
        return "\n".join(
            [
                self.kubectl_script("set", "image", "statefulset/raft", f"{name}={image}"),
                self.kubectl_script("rollout", "status", "statefulset/raft", f"--timeout={ROLLOUT_SECONDS_MAX}s"),
            ]
        )

    def _address(self, node_id: str) -> str:
        return f"{node_id}.service-raft:{self._port}"

    def _runs(self, machine: str) -> bool:
        return run(["docker", "inspect", "--format", "{{.State.Status}}", machine]).decode().strip() == "running"

    def _last_words(self, node_id: str, state: str) -> str:
        previous = ["--previous"] if state == "lastState" else []
        try:
            return self.kubectl("logs", node_id, "--tail=3", *previous)
        except ShellError as error:
            return str(error)


def container_status(pod: dict[str, Any]) -> dict[str, Any]:
    """Of the one container that a node's Pod has; empty before there is one."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    found: dict[str, Any] = statuses[0]
    return found


def failed_state(container: dict[str, Any], process_before: str) -> str:
    """Which state of a Pod's container tells of a failure since that one was the newest; empty: none does yet."""
    if short(str(container.get("containerID", ""))) == process_before:
        return ""
    for name in ("state", "lastState"):
        ended = (container.get(name) or {}).get("terminated")
        if ended and short(ended["containerID"]) != process_before and ended["exitCode"] != 0:
            return name
    return ""


def short(container_id: str) -> str:
    """As much of a container's identity as tells it from others."""
    return container_id.partition("://")[2][:12]
