"""The registry and the kind nodes."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from tests.infra.conftest import need

pytestmark = pytest.mark.infra


@pytest.fixture(scope="module", autouse=True)
def _on_kind(record: dict[str, Any]) -> None:
    need(record, "platform", "kind")


@pytest.fixture(scope="module")
def kind_nodes(record: dict[str, Any], machine: Host) -> dict[str, Host]:
    names = machine.check_output("kind get nodes --name %s", record["kind_cluster"]).split()
    return {name: testinfra.get_host(f"docker://{name}") for name in names}


def registry_ports(record: dict[str, Any], machine: Host) -> list[dict[str, str]]:
    inspected = machine.docker(record["registry_container"]).inspect()
    return [binding for bindings in inspected["NetworkSettings"]["Ports"].values() for binding in bindings or []]


def test_the_registry_listens_on_loopback_alone(record: dict[str, Any], machine: Host) -> None:
    assert machine.docker(record["registry_container"]).is_running
    assert {binding["HostIp"] for binding in registry_ports(record, machine)} == {"127.0.0.1"}


def test_the_registry_has_the_images_that_are_deployed(record: dict[str, Any], machine: Host) -> None:
    (binding,) = registry_ports(record, machine)
    for image in record["images"].values():
        name, tag = image.removeprefix(record["registry"] + "/").rsplit(":", 1)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{binding['HostPort']}/v2/{name}/tags/list", timeout=10
        ) as answer:
            assert tag in json.load(answer)["tags"]


def test_every_node_runs_kubelet_and_containerd(kind_nodes: dict[str, Host]) -> None:
    assert kind_nodes
    for node in kind_nodes.values():
        assert node.service("kubelet").is_running
        assert node.service("containerd").is_running


def test_every_node_is_led_to_the_registry(record: dict[str, Any], kind_nodes: dict[str, Host]) -> None:
    for node in kind_nodes.values():
        hosts = node.file(f"/etc/containerd/certs.d/{record['registry']}/hosts.toml")
        assert hosts.contains(f'host."http://{record["registry_container"]}:5000"')


def test_the_cluster_tells_tools_of_the_registry(record: dict[str, Any], machine: Host) -> None:
    told = machine.check_output(
        "kubectl --context %s --namespace kube-public get configmap local-registry-hosting -o yaml", record["context"]
    )
    assert record["registry"] in told
