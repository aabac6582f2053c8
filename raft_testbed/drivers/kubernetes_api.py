"""The requests to the Kubernetes API that the testbed needs, for one namespace.

They name the paths of the API reference and return objects as the API server sends them. The generated classes of the
client library would take a second of CPU time to load in each of the testbed's short processes, and their models refuse
what an older or newer server omits.
"""

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.stream.ws_client import websocket_call

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
        self._configuration = Configuration()
        paths = os.pathsep.join(str(Path(path).expanduser()) for path in kubeconfig.split(os.pathsep))
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call] # the package annotates a part of itself
                paths, context, client_configuration=self._configuration
            )
        except (config.ConfigException, OSError, ValueError) as error:
            raise KubernetesError(f"kubeconfig {kubeconfig}, context {context}: {error}") from error
        self._client = ApiClient(self._configuration)
        self._core = f"/api/v1/namespaces/{namespace}"
        self._stateful_sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"

    def server_version(self, seconds_max: float = REQUEST_SECONDS_MAX) -> str:
        """Return the version of the API server, e.g. `v1.32.2`."""
        return str(json.loads(self._request("GET", "/version", timeout=seconds_max).data)["gitVersion"])

    def pod(self, name: str) -> Json:
        return self._get(f"{self._core}/pods/{name}")

    def pods(self, selector: str) -> dict[str, Json]:
        """Return the Pods with these labels by name."""
        listing = self._get(f"{self._core}/pods", labelSelector=selector)
        return {pod["metadata"]["name"]: pod for pod in listing["items"]}

    def stateful_set(self, name: str) -> Json:
        return self._get(f"{self._stateful_sets}/{name}")

    def persistent_volume(self, claim: str) -> Json:
        """Return the volume that a claim is bound to."""
        found = self._get(f"{self._core}/persistentvolumeclaims/{claim}")
        return self._get(f"/api/v1/persistentvolumes/{found['spec']['volumeName']}")

    def delete_pod(self, name: str) -> None:
        """Delete a Pod, without waiting; a Pod that does not exist is no error."""
        self._delete(f"{self._core}/pods/{name}")

    def delete_claim(self, name: str) -> None:
        """Delete a PersistentVolumeClaim, without waiting; a claim that does not exist is no error."""
        self._delete(f"{self._core}/persistentvolumeclaims/{name}")

    def scale(self, stateful_set: str, replicas: int) -> None:
        """Set the number of replicas, without waiting."""
        self._patch(f"{self._stateful_sets}/{stateful_set}", {"spec": {"replicas": replicas}})

    def set_image(self, stateful_set: str, container: str, image: str) -> None:
        """Set the image of a container, without waiting."""
        containers = [{"name": container, "image": image}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        self._patch(f"{self._stateful_sets}/{stateful_set}", patch)

    def await_roll_out(self, stateful_set: str, seconds_max: float) -> None:
        """Wait until every replica is ready with the newest template. Raise `KubernetesError` after `seconds_max`."""
        deadline = time.monotonic() + seconds_max
        while not is_rolled_out(self.stateful_set(stateful_set)):
            if time.monotonic() > deadline:
                raise KubernetesError(f"StatefulSet {stateful_set} is not rolled out within {seconds_max:g} s")
            time.sleep(_POLL_SECONDS)

    def execute(self, pod: str, command: list[str], seconds_max: float = REQUEST_SECONDS_MAX) -> str:
        """Run a command in a Pod and return its standard output. Raise `KubernetesError` if the command fails."""
        query = [*(("command", argument) for argument in command), ("stdout", "true"), ("stderr", "true")]
        _, url, headers, *_ = self._serialize("GET", f"{self._core}/pods/{pod}/exec", query)
        what = f"{pod}: {' '.join(command)[:300]}"
        try:
            connection = websocket_call(  # type: ignore[no-untyped-call] # the package annotates a part of itself
                self._configuration, "GET", url, headers=headers, _preload_content=False
            )
        except ApiException as error:
            raise KubernetesError(f"{what}: {error.reason}", error.status or 0) from error
        connection.run_forever(timeout=seconds_max)
        if connection.is_open():
            connection.close()
            raise KubernetesError(f"{what}: no end within {seconds_max:g} s")
        output: str = connection.read_channel(_STDOUT)
        errors: str = connection.read_channel(_STDERR)
        if connection.returncode:
            raise KubernetesError(f"{what}: exit status {connection.returncode}: {(errors or output)[-1000:]}")
        return output

    def log(self, pod: str, *, previous: bool = False, since: float = 0.0, tail_lines: int | None = None) -> str:
        """Return a Pod's log since a time (seconds since 1970, rounded down), or its last lines.

        `previous` chooses the container's previous incarnation.
        """
        query = {"previous": str(previous).lower()}
        if since:
            query["sinceSeconds"] = str(max(1, math.ceil(time.time() - since) + 1))
        if tail_lines is not None:
            query["tailLines"] = str(tail_lines)
        return self._request("GET", f"{self._core}/pods/{pod}/log", query).data.decode(errors="replace")

    def stream_log(self, pod: str, *, previous: bool, idle_seconds_max: float) -> Iterator[bytes]:
        """Yield chunks of a Pod's whole log, and follow it unless `previous`.

        End when the container ends, or after `idle_seconds_max` without any output.
        """
        query = {"previous": "true"} if previous else {"follow": "true"}
        response = self._request(
            "GET", f"{self._core}/pods/{pod}/log", query, timeout=(REQUEST_SECONDS_MAX, idle_seconds_max)
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
        return self._request("GET", f"/api/v1/nodes/{machine}/proxy/logs/{quote(path)}").data

    def _get(self, path: str, **query: str) -> Json:
        content: Json = json.loads(self._request("GET", path, query).data)
        return content

    def _patch(self, path: str, patch: Json) -> None:
        self._request("PATCH", path, body=patch)

    def _delete(self, path: str) -> None:
        try:
            self._request("DELETE", path)
        except KubernetesError as error:
            if error.status != 404:
                raise

    def _request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Json | None = None,
        timeout: float | tuple[float, float] = REQUEST_SECONDS_MAX,
    ) -> urllib3.HTTPResponse:
        """Send a request and return the response, whose body is not read yet."""
        _, url, headers, serialized, _ = self._serialize(method, path, list((query or {}).items()), body)
        try:
            reply = self._client.call_api(method, url, headers, serialized, _request_timeout=timeout)
            if not 200 <= reply.status < 300:
                answer = reply.response.data.decode(errors="replace")[:1000]
                raise KubernetesError(f"{method} {path}: HTTP {reply.status}: {answer}", reply.status)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise KubernetesError(f"{method} {path}: {error}") from error
        response: urllib3.HTTPResponse = reply.response
        return response

    def _serialize(self, method: str, path: str, query: list[tuple[str, str]], body: Json | None = None) -> Any:
        """Return the arguments of the client's `call_api`: method, URL, headers, body, form."""
        headers = {"Content-Type": "application/strategic-merge-patch+json"} if body else {}
        return self._client.param_serialize(
            method, path, query_params=query, header_params=headers, body=body, auth_settings=["BearerToken"]
        )


def is_rolled_out(stateful_set: Json) -> bool:
    """Return whether every replica of a StatefulSet is ready and has the newest template."""
    replicas, status = stateful_set["spec"]["replicas"], stateful_set["status"]
    return bool(
        status.get("observedGeneration", 0) >= stateful_set["metadata"]["generation"]
        and status.get("readyReplicas", 0) == replicas
        and status["currentRevision"] == status["updateRevision"]
    )
