"""A client of the Kubernetes API for a Pod's service account. It needs the standard library only.

`Api` sends requests; `Mirror` keeps a copy of a collection by list and watch.
"""

import json
import os
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The server ends a watch after this time. A longer watch has lost its peer, which TCP does not report.
WATCH_SECONDS = 30
START_SECONDS = 60
RETRY_SECONDS = 0.5


class Api:
    """Sends requests with the service account's token, which it reads every time because the kubelet rotates it."""

    def __init__(self) -> None:
        self.address = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
        self.tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def open(self, method: str, path: str, body: dict | None = None, timeout: float = 10):
        request = urllib.request.Request(  # noqa: S310 - the address is https
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {(ACCOUNT / 'token').read_text(encoding='ascii')}",
                "Content-Type": "application/json",
            },
        )
        return urllib.request.urlopen(request, context=self.tls, timeout=timeout)  # noqa: S310 - see above

    def request(self, method: str, path: str, body: dict | None = None) -> dict:
        with self.open(method, path, body) as response:
            return json.load(response)

    def await_object(self, path: str) -> dict:
        """Return an object, retrying while the API server is unreachable: a Pod may start before its node's network."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return self.request("GET", path)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise
                print(f"{path}: {error}; trying again in {RETRY_SECONDS} s", flush=True)
                time.sleep(RETRY_SECONDS)


class Mirror:
    """A copy of one collection that a thread keeps current. It calls `changed` after every change."""

    def __init__(self, api: Api, path: str, changed: Callable[[], None]) -> None:
        self.api = api
        self.path = path
        self.changed = changed
        self.complete = threading.Event()
        self._objects: dict[str, dict] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._follow, name=self.path, daemon=True).start()

    def objects(self) -> list[dict]:
        with self._lock:
            return list(self._objects.values())

    def _follow(self) -> None:
        version = None
        while True:
            try:
                version = self._watch(version) if version else self._list()
            except (OSError, ValueError, KeyError) as error:
                print(f"{self.path}: {error}; listing again in {RETRY_SECONDS} s", flush=True)
                version = None
                time.sleep(RETRY_SECONDS)

    def _list(self) -> str:
        answer = self.api.request("GET", self.path)
        with self._lock:
            self._objects = {item["metadata"]["uid"]: item for item in answer["items"]}
        self.complete.set()
        self.changed()
        return answer["metadata"]["resourceVersion"]

    def _watch(self, version: str) -> str:
        query = f"?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
        with self.api.open("GET", self.path + query, timeout=WATCH_SECONDS + 5) as stream:
            for line in stream:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise ValueError(event["object"].get("message", "the watch ended"))
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self._take(event["type"], event["object"])
        return version

    def _take(self, kind: str, item: dict) -> None:
        with self._lock:
            if kind == "DELETED":
                self._objects.pop(item["metadata"]["uid"], None)
            else:
                self._objects[item["metadata"]["uid"]] = item
        self.changed()
