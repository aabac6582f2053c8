"""A provisioner of `local` PersistentVolumes on its own node, for claims that the scheduler placed there.

It runs on every node as a DaemonSet. A claim whose StorageClass names this provisioner gets a directory and a
PersistentVolume with affinity to the node. With reclaim policy Delete, both are removed with the claim. All state is in
the API and in the directories, so that a restarted provisioner resumes where it stopped.
"""

import http
import os
import shutil
import threading
import urllib.error
from collections.abc import Callable
from pathlib import Path

from kubernetes_api import Api, Mirror

PROVISIONER = "raft-testbed/local-volumes"
ROOT = Path("/var/local-volumes")
# Delay before a failed operation (full disk, unreachable API server) is retried.
RETRY_SECONDS = 5

SELECTED_NODE = "volume.kubernetes.io/selected-node"
STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
HOSTNAME_LABEL = "kubernetes.io/hostname"


def annotation(item: dict, name: str) -> str | None:
    return (item["metadata"].get("annotations") or {}).get(name)


def volume_name(claim: dict) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def affinity_to(hostname: str) -> dict:
    expression = {"key": HOSTNAME_LABEL, "operator": "In", "values": [hostname]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def volume_for(claim: dict, reclaim_policy: str, hostname: str) -> dict:
    """Return the PersistentVolume of a claim, bound to it by `claimRef`."""
    reference = {name: claim["metadata"][name] for name in ("namespace", "name", "uid")}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": reclaim_policy,
            "storageClassName": claim["spec"]["storageClassName"],
            "volumeMode": "Filesystem",
            "local": {"path": str(ROOT / volume_name(claim))},
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **reference},
            "nodeAffinity": affinity_to(hostname),
        },
    }


class Provisioner:
    def __init__(self, api: Api, node: str) -> None:
        self.api = api
        self.node = node
        self.hostname = api.await_object(f"/api/v1/nodes/{node}")["metadata"]["labels"][HOSTNAME_LABEL]
        self._changed = threading.Event()
        self._claims = Mirror(api, "/api/v1/persistentvolumeclaims", self._changed.set)
        self._volumes = Mirror(api, "/api/v1/persistentvolumes", self._changed.set)

    def run(self) -> None:
        for mirror in (self._claims, self._volumes):
            mirror.start()
            mirror.complete.wait()
        print(f"{self.node}: provisioning local volumes in {ROOT}", flush=True)
        while True:
            self._changed.wait()
            self._changed.clear()
            for claim in filter(self._is_pending, self._claims.objects()):
                self._attempt(self._provision, claim)
            for volume in filter(self._is_released, self._volumes.objects()):
                self._attempt(self._remove, volume)

    def _is_pending(self, claim: dict) -> bool:
        return (
            annotation(claim, STORAGE_PROVISIONER) == PROVISIONER
            and annotation(claim, SELECTED_NODE) == self.node
            and not claim["spec"].get("volumeName")
            and "deletionTimestamp" not in claim["metadata"]
        )

    def _is_released(self, volume: dict) -> bool:
        return (
            annotation(volume, PROVISIONED_BY) == PROVISIONER
            and volume["spec"].get("nodeAffinity") == affinity_to(self.hostname)
            and volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
            and volume["status"].get("phase") == "Released"
            and "deletionTimestamp" not in volume["metadata"]
        )

    def _attempt(self, step: Callable[[dict], None], item: dict) -> None:
        try:
            step(item)
        except (OSError, ValueError) as error:
            print(f"{self.node}: {item['metadata']['name']}: {error}; trying again in {RETRY_SECONDS} s", flush=True)
            self._report(item, str(error))
            threading.Timer(RETRY_SECONDS, self._changed.set).start()

    def _provision(self, claim: dict) -> None:
        if claim["spec"].get("volumeMode") == "Block":
            raise ValueError("this provisioner has no block devices, only file systems")
        class_path = f"/apis/storage.k8s.io/v1/storageclasses/{claim['spec']['storageClassName']}"
        volume = volume_for(claim, self.api.request("GET", class_path)["reclaimPolicy"], self.hostname)
        # World-writable, as kind's own provisioner does, so that a Pod needs no fsGroup.
        Path(volume["spec"]["local"]["path"]).mkdir(mode=0o777, exist_ok=True)
        try:
            self.api.request("POST", "/api/v1/persistentvolumes", volume)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.CONFLICT:  # created before, and not yet visible in the claim
                raise
        else:
            print(f"{self.node}: created {volume['spec']['local']['path']}", flush=True)

    def _remove(self, volume: dict) -> None:
        # Derive the directory from the name: the path in the object is not trusted.
        directory = ROOT / volume["metadata"]["name"]
        if directory.exists():
            shutil.rmtree(directory)
        try:
            self.api.request("DELETE", f"/api/v1/persistentvolumes/{volume['metadata']['name']}")
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.NOT_FOUND:
                raise
        print(f"{self.node}: removed {directory}", flush=True)

    def _report(self, item: dict, message: str) -> None:
        """Record a warning event of the claim or volume."""
        namespace = item["metadata"].get("namespace", "default")
        reference = {name: item["metadata"].get(name) for name in ("namespace", "name", "uid")}
        kind = "PersistentVolumeClaim" if "namespace" in item["metadata"] else "PersistentVolume"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{item['metadata']['name']}.", "namespace": namespace},
            "type": "Warning",
            "reason": "LocalVolumeFailed",
            "message": f"{self.node}: {message}",
            "involvedObject": {"apiVersion": "v1", "kind": kind, **reference},
            "source": {"component": PROVISIONER, "host": self.node},
        }
        try:
            self.api.request("POST", f"/api/v1/namespaces/{namespace}/events", event)
        except OSError as error:
            print(f"{self.node}: the event was not recorded: {error}", flush=True)


def main() -> None:
    os.umask(0)
    Provisioner(Api(), os.environ["NODE_NAME"]).run()


if __name__ == "__main__":
    main()
