"""The registry and the kind nodes."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from tests.infra.conftest import require

pytestmark = pytest.mark.infra


@pytest.fixture(scope="module", autouse=True)
def _require_kind(deployment: dict[str, Any]) -> None:
    require(deployment, "platform", "kind")


@pytest.fixture(scope="module")
def kind_nodes(deployment: dict[str, Any], machine: Host) -> dict[str, Host]:
    names = machine.check_output("kind get nodes --name %s", deployment["kind_cluster"]).split()
    return {name: testinfra.get_host(f"docker://{name}") for name in names}


def registry_ports(deployment: dict[str, Any], machine: Host) -> list[dict[str, str]]:
    inspected = machine.docker(deployment["registry_container"]).inspect()
    return [binding for bindings in inspected["NetworkSettings"]["Ports"].values() for binding in bindings or []]


def test_the_registry_listens_on_loopback_only(deployment: dict[str, Any], machine: Host) -> None:
    assert machine.docker(deployment["registry_container"]).is_running
    assert {binding["HostIp"] for binding in registry_ports(deployment, machine)} == {"127.0.0.1"}


def test_the_registry_has_the_deployed_images(deployment: dict[str, Any], machine: Host) -> None:
    (binding,) = registry_ports(deployment, machine)
    for image in deployment["images"].values():
        name, tag = image.removeprefix(deployment["registry"] + "/").rsplit(":", 1)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{binding['HostPort']}/v2/{name}/tags/list", timeout=10
        ) as response:
            assert tag in json.load(response)["tags"]


def test_every_node_runs_kubelet_and_containerd(kind_nodes: dict[str, Host]) -> None:
    assert kind_nodes
    for node in kind_nodes.values():
        assert node.service("kubelet").is_running
        assert node.service("containerd").is_running


def test_every_node_pulls_from_the_registry(deployment: dict[str, Any], kind_nodes: dict[str, Host]) -> None:
    for node in kind_nodes.values():
        hosts = node.file(f"/etc/containerd/certs.d/{deployment['registry']}/hosts.toml")
        assert hosts.contains(f'host."http://{deployment["registry_container"]}:5000"')


def test_the_cluster_announces_the_registry(deployment: dict[str, Any], machine: Host) -> None:
    command = "kubectl --context %s --namespace kube-public get configmap local-registry-hosting -o yaml"
    announced = machine.check_output(command, deployment["context"])
    assert deployment["registry"] in announced
