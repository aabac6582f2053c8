"""Makes `local` volumes on the node it runs on, for claims that the scheduler gave to that node.

One runs on every node. A claim of a StorageClass with this provisioner gets a directory and a PersistentVolume that is
tied to the node; when the claim is gone and the class says Delete, both go. All state is in the API and in the
directories, so that a restart at any point carries on.
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
# What failed (a full disk, an API server that is away) is tried again after this long.
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
    """The PersistentVolume of a claim, promised to it from the start."""
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
        self._something_changed = threading.Event()
        self._claims = Mirror(api, "/api/v1/persistentvolumeclaims", self._something_changed.set)
        self._volumes = Mirror(api, "/api/v1/persistentvolumes", self._something_changed.set)

    def run(self) -> None:
        for mirror in (self._claims, self._volumes):
            mirror.start()
            mirror.complete.wait()
        print(f"{self.node}: local volumes are made in {ROOT}", flush=True)
        while True:
            self._something_changed.wait()
            self._something_changed.clear()
            for claim in filter(self._wants_volume, self._claims.objects()):
                self._attempt(self._provision, claim)
            for volume in filter(self._is_left_behind, self._volumes.objects()):
                self._attempt(self._remove, volume)

    def _wants_volume(self, claim: dict) -> bool:
        return (
            annotation(claim, STORAGE_PROVISIONER) == PROVISIONER
            and annotation(claim, SELECTED_NODE) == self.node
            and not claim["spec"].get("volumeName")
            and "deletionTimestamp" not in claim["metadata"]
        )

    def _is_left_behind(self, volume: dict) -> bool:
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
            threading.Timer(RETRY_SECONDS, self._something_changed.set).start()

    def _provision(self, claim: dict) -> None:
        if claim["spec"].get("volumeMode") == "Block":
            raise ValueError("this provisioner makes file systems, no block devices")
        class_path = f"/apis/storage.k8s.io/v1/storageclasses/{claim['spec']['storageClassName']}"
        volume = volume_for(claim, self.api.request("GET", class_path)["reclaimPolicy"], self.hostname)
        # Like kind's own provisioner: any user may write, so that a Pod needs no fsGroup; one with fsGroup gets it.
        Path(volume["spec"]["local"]["path"]).mkdir(mode=0o777, exist_ok=True)
        try:
            self.api.request("POST", "/api/v1/persistentvolumes", volume)
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.CONFLICT:  # made before, and the claim does not say so yet
                raise
        else:
            print(f"{self.node}: made {volume['spec']['local']['path']}", flush=True)

    def _remove(self, volume: dict) -> None:
        # The name, not what the object says, decides what is deleted.
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
        """Says it where people look: in the events of the claim or volume."""
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
