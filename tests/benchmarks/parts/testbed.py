"""Duration of site.yml on kind, compared with the bare commands that reach the same state (target 9)."""

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.errors import BenchmarkError, MissingError
from tests.benchmarks.processes import ROOT, run
from tests.benchmarks.session import Session

CLUSTER = "raft-testbed"
REGISTRY = "kind-registry"
SECONDS_MAX = 900
SOURCE = ROOT / "raft_pkg" / "__init__.py"
OWN = ("service/service-raft", "statefulset/raft", "poddisruptionbudget/raft", "pod/client")
SERVER_FIELDS = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "selfLink")


def testbed(session: Session) -> None:
    """Run both from scratch, alternately, with filled caches; then site.yml again, and with a changed file."""
    _require_kind()
    try:
        _playbook("site.yml")  # fills the shared caches
        environment = _environment(session.directory)
        for number in range(1, session.extent.rounds + 1):
            _playbook("playbooks/teardown.yml")
            bare = _timed([str(ROOT / "tests/benchmarks/bare_commands.sh")], environment)
            _playbook("playbooks/teardown.yml")
            site = _playbook("site.yml")
            session.record("testbed", "site.yml", number, seconds=site)
            session.record("testbed", "bare commands", number, seconds=bare)
            session.log(f"testbed, round {number}: site.yml {site:.0f} s, bare commands {bare:.0f} s")
        session.record("testbed", "site.yml again", 1, seconds=_playbook("site.yml"))
        with _changed_source():
            session.record("testbed", "site.yml with a changed file", 1, seconds=_playbook("site.yml"))
    finally:
        _playbook("playbooks/teardown.yml")


def _require_kind() -> None:
    for program in ("kind", "docker", "kubectl"):
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not installed; `make offline` installs it")
    try:
        run(["docker", "info"], 30)
    except BenchmarkError:
        raise MissingError("no container engine responds; `make offline` starts one") from None
    containers = run(["docker", "ps", "--all", "--format", "{{.Names}}"], 30).split()
    if REGISTRY in containers or f"{CLUSTER}-control-plane" in containers:
        raise MissingError(f"a cluster {CLUSTER} or a registry exists; `make clean` removes both")


def _playbook(name: str) -> float:
    """Run a playbook on kind; return its duration in seconds."""
    playbook = Path(sys.executable).with_name("ansible-playbook")
    return _timed([str(playbook), name, "-e", "testbed_platform=kind"], {})


def _timed(command: Sequence[str], environment: dict[str, str]) -> float:
    began = time.monotonic()
    run(["env", *(f"{name}={value}" for name, value in environment.items()), *command], SECONDS_MAX)
    return time.monotonic() - began


def _environment(directory: Path) -> dict[str, str]:
    """Return the environment variables of bare_commands.sh, from the cluster that site.yml made."""
    nodes = run(["kind", "get", "nodes", "--name", CLUSTER], 30).split()
    objects = [_manifest(json.loads(_kubectl("get", name, "--output", "json"))) for name in OWN]
    manifests = directory / "manifests.json"
    manifests.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    _, statefulset, _, client = objects
    contexts = sorted((ROOT / ".testbed/wheels").glob("context-*"), key=lambda path: path.stat().st_mtime)
    server = statefulset["spec"]["template"]["spec"]["containers"][0]["image"]
    return {
        "CLUSTER": CLUSTER,
        "NODE_IMAGE": run(["docker", "inspect", "--format", "{{.Config.Image}}", nodes[0]], 30).strip(),
        "WORKERS": str(len(nodes) - 1),
        "PYTHON_IMAGE": os.environ.get("PYTHON_IMAGE", "python:3.13-slim-trixie"),
        "CONTEXT": str(contexts[-1]),
        "SERVER": server,
        "CLIENT": client["spec"]["containers"][0]["image"],
        "MANIFESTS": str(manifests),
    }


def _kubectl(*arguments: str) -> str:
    return run(["kubectl", "--context", f"kind-{CLUSTER}", *arguments], 60)


def _manifest(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object without the fields that the API server added."""
    metadata = {name: value for name, value in found["metadata"].items() if name not in SERVER_FIELDS}
    spec = {name: value for name, value in found["spec"].items() if name not in ("clusterIPs", "nodeName")}
    return {**{name: found[name] for name in ("apiVersion", "kind")}, "metadata": metadata, "spec": spec}


@contextlib.contextmanager
def _changed_source() -> Iterator[None]:
    before = SOURCE.read_bytes()
    SOURCE.write_bytes(before + f"# {time.time()}\n".encode())
    try:
        yield
    finally:
        SOURCE.write_bytes(before)
