"""The requests to the Kubernetes API that the testbed needs, for one namespace.

Objects are JSON objects as the API server sends them: the client library's models would refuse what an older or newer
server omits.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from raft_testbed.nemesis.errors import CommandError

REQUEST_SECONDS_MAX = 60.0
READ_BYTES_MAX = 1024 * 1024
_POLL_SECONDS = 0.5
_STDOUT, _STDERR = 1, 2

Json = dict[str, Any]


class KubernetesError(CommandError):
    """A request failed. The message holds the API server's answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status code; 0: no answer."""


class KubernetesApi:
    """A namespace of the cluster that a kubeconfig's context names.

    Every method raises `KubernetesError` if its request fails.
    """

    def __init__(self, kubeconfig: str, context: str, namespace: str) -> None:
        self.kubeconfig, self.context, self.namespace = kubeconfig, context, namespace
        configuration = client.Configuration()
        paths = os.pathsep.join(str(Path(path).expanduser()) for path in kubeconfig.split(os.pathsep))
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call] # the package annotates a part of itself
                paths, context, client_configuration=configuration
            )
        except (config.ConfigException, OSError, ValueError) as error:
            raise KubernetesError(f"kubeconfig {kubeconfig}, context {context}: {error}") from error
        configuration.safe_chars_for_path_param = "/"  # of paths below the proxy of a node
        self.configuration = configuration
        self._core = client.CoreV1Api(client.ApiClient(configuration))
        self._apps = client.AppsV1Api(self._core.api_client)

    def pod(self, name: str) -> Json:
        return self._read(self._core.read_namespaced_pod, name, self.namespace)

    def pods(self, selector: str) -> dict[str, Json]:
        """Return the Pods with these labels by name."""
        listing = self._read(self._core.list_namespaced_pod, self.namespace, label_selector=selector)
        return {pod["metadata"]["name"]: pod for pod in listing["items"]}

    def stateful_set(self, name: str) -> Json:
        return self._read(self._apps.read_namespaced_stateful_set, name, self.namespace)

    def persistent_volume(self, claim: str) -> Json:
        """Return the volume that a claim is bound to."""
        found = self._read(self._core.read_namespaced_persistent_volume_claim, claim, self.namespace)
        return self._read(self._core.read_persistent_volume, found["spec"]["volumeName"])

    def delete_pod(self, name: str) -> None:
        """Delete a Pod, without waiting; a Pod that does not exist is no error."""
        self._delete(self._core.delete_namespaced_pod, name)

    def delete_claim(self, name: str) -> None:
        """Delete a PersistentVolumeClaim, without waiting; a claim that does not exist is no error."""
        self._delete(self._core.delete_namespaced_persistent_volume_claim, name)

    def scale(self, stateful_set: str, replicas: int) -> None:
        """Set the number of replicas, without waiting."""
        self._read(
            self._apps.patch_namespaced_stateful_set, stateful_set, self.namespace, {"spec": {"replicas": replicas}}
        )

    def set_image(self, stateful_set: str, container: str, image: str) -> None:
        """Set the image of a container, without waiting."""
        containers = [{"name": container, "image": image}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        self._read(self._apps.patch_namespaced_stateful_set, stateful_set, self.namespace, patch)

    def await_roll_out(self, stateful_set: str, seconds_max: float) -> None:
        """Wait until every replica is ready with the newest template. Raise `KubernetesError` after `seconds_max`."""
        deadline = time.monotonic() + seconds_max
        while not is_rolled_out(self.stateful_set(stateful_set)):
            if time.monotonic() > deadline:
                raise KubernetesError(f"StatefulSet {stateful_set} is not rolled out within {seconds_max:g} s")
            time.sleep(_POLL_SECONDS)

    def execute(self, pod: str, command: list[str], seconds_max: float = REQUEST_SECONDS_MAX) -> str:
        """Run a command in a Pod and return its standard output. Raise `KubernetesError` if the command fails."""
        connection = self._request(
            stream,
            self._core.connect_get_namespaced_pod_exec,
            pod,
            self.namespace,
            command=command,
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        connection.run_forever(timeout=seconds_max)
        if connection.is_open():
            connection.close()
            raise KubernetesError(f"{pod}: {' '.join(command)[:300]}: no end within {seconds_max:g} s")
        output: str = connection.read_channel(_STDOUT)
        errors: str = connection.read_channel(_STDERR)
        if connection.returncode:
            raise KubernetesError(
                f"{pod}: {' '.join(command)[:300]}: exit status {connection.returncode}: {(errors or output)[-1000:]}"
            )
        return output

    def log(self, pod: str, *, previous: bool = False, since: float = 0.0, tail_lines: int | None = None) -> str:
        """Return a Pod's log since a time (seconds since 1970, rounded down), or its last lines.

        `previous` chooses the container's previous incarnation.
        """
        options: dict[str, Any] = {"previous": previous}
        if since:
            options["since_seconds"] = max(1, math.ceil(time.time() - since) + 1)
        if tail_lines is not None:
            options["tail_lines"] = tail_lines
        response = self._raw(self._core.read_namespaced_pod_log, pod, self.namespace, **options)
        return response.data.decode(errors="replace")

    def stream_log(self, pod: str, *, previous: bool, idle_seconds_max: float) -> Iterator[bytes]:
        """Yield chunks of a Pod's whole log, and follow it unless `previous`.

        End when the container ends, or after `idle_seconds_max` without any output.
        """
        response = self._raw(
            self._core.read_namespaced_pod_log,
            pod,
            self.namespace,
            previous=previous,
            follow=not previous,
            _request_timeout=(REQUEST_SECONDS_MAX, idle_seconds_max),
        )
        try:
            while chunk := response.read1(READ_BYTES_MAX):
                yield chunk
        except urllib3.exceptions.HTTPError:
            return  # idle, or the connection broke
        finally:
            response.close()

    def node_logs(self, machine: str, path: str) -> bytes:
        """Return a file, or the listing of a directory, below /var/log of a Kubernetes node, from its kubelet."""
        response = self._raw(self._core.connect_get_node_proxy_with_path, machine, f"logs/{path}")
        return response.data

    def _read(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> Json:
        content: Json = json.loads(self._raw(method, *arguments, **options).data)
        return content

    def _delete(self, method: Callable[..., Any], name: str) -> None:
        try:
            self._raw(method, name, self.namespace)
        except KubernetesError as error:
            if error.status != 404:
                raise

    def _raw(self, method: Callable[..., Any], *arguments: Any, **options: Any) -> urllib3.HTTPResponse:
        options.setdefault("_request_timeout", REQUEST_SECONDS_MAX)
        response: urllib3.HTTPResponse = self._request(method, *arguments, _preload_content=False, **options)
        return response

    @staticmethod
    def _request(method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except ApiException as error:
            reason = str(error.body or error.reason)[:1000]
            raise KubernetesError(f"{arguments}: HTTP {error.status}: {reason}", error.status or 0) from error
        except urllib3.exceptions.HTTPError as error:
            raise KubernetesError(f"{arguments}: {error}") from error


def is_rolled_out(stateful_set: Json) -> bool:
    """Return whether every replica of a StatefulSet is ready and has the newest template."""
    replicas, status = stateful_set["spec"]["replicas"], stateful_set["status"]
    return bool(
        status.get("observedGeneration", 0) >= stateful_set["metadata"]["generation"]
        and status.get("readyReplicas", 0) == replicas
        and status["currentRevision"] == status["updateRevision"]
    )
