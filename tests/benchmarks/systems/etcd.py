"""etcd of Debian, called with grpc.aio; and, for its upper bound, with h2load, which is written in C."""

import base64
import contextlib
import json
import math
import os
import re
import shutil
import struct
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raft_pkg.local.ports import HOST, choose_ports
from tests.benchmarks import processes
from tests.benchmarks.errors import BenchmarkError, MissingError
from tests.benchmarks.systems.system import (
    DEFAULT_TIMING,
    Probe,
    System,
    Timing,
    drive,
    driver_probe,
    end_all,
    measurement_seconds_max,
)

QUOTA_BYTES = 8 * 1024**3
HTTP_SECONDS_MAX = 2.0
PUT_METHOD = "/etcdserverpb.KV/Put"
_RATE = re.compile(r"finished in [\d.]+s, ([\d.]+) req/s")


class Etcd(System):
    """etcd with its default durability: no acknowledgement before fdatasync."""

    name = "etcd"

    def __init__(self, directory: Path, nodes: int = 3, timing: Timing = DEFAULT_TIMING) -> None:
        super().__init__(directory, nodes, timing)
        if shutil.which("etcd") is None:
            raise MissingError("etcd is not installed: apt-get install etcd-server")
        ports = choose_ports(2 * nodes)
        self._clients = {f"etcd-{i}": f"{HOST}:{port}" for i, port in enumerate(ports[:nodes])}
        self._peers = {f"etcd-{i}": f"{HOST}:{port}" for i, port in enumerate(ports[nodes:])}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._member_ids: dict[str, str] = {}  # of nodes that have been leader
        self._log = directory / "driver.log"

    @staticmethod
    def version() -> str:
        return processes.run(["etcd", "--version"], 10).splitlines()[0].removeprefix("etcd Version: ")

    def start(self) -> None:
        for node in self._clients:
            if node not in self._processes or self._processes[node].poll() is not None:
                self._processes[node] = processes.launch(self._command(node), self.directory / f"{node}.log")
        self.wait_for_leader()

    def stop(self) -> None:
        end_all([*self._processes.values()])

    def process_ids(self) -> dict[str, int]:
        return {node: process.pid for node, process in self._processes.items() if process.poll() is None}

    def leader(self) -> str | None:
        leaders_seen = set()
        for node in self.process_ids():
            try:
                status = self._post(node, "maintenance/status", {})
                if status["header"]["member_id"] == status.get("leader"):
                    self._member_ids[node] = status["leader"]
                leaders_seen.add(status.get("leader"))
            except (OSError, ValueError):
                return None
        leaders = [node for node, member in self._member_ids.items() if leaders_seen == {member}]
        return leaders[0] if leaders else None

    def pause(self) -> None:
        processes.pause([*self.process_ids().values()])

    def resume(self) -> None:
        processes.resume([*self.process_ids().values()])
        self.start()

    def kill(self, node: str) -> None:
        end_all([self._processes[node]])

    def measure(self, plan: dict[str, Any]) -> dict[str, Any]:
        plan = {**plan, "processes": [*self.process_ids().values()]}
        return drive(
            self._log, "measure", "etcd", [self.leader_endpoint], plan, seconds_max=measurement_seconds_max(plan)
        )

    def fill(self, plan: dict[str, Any], seconds_max: float) -> float:
        return float(drive(self._log, "fill", "etcd", [self.leader_endpoint], plan, seconds_max=seconds_max)["seconds"])

    @contextlib.contextmanager
    def probe(self) -> Iterator[Probe]:
        with driver_probe(self._log, "etcd", [*self._clients.values()]) as probe:
            yield probe

    def transfer(self) -> None:
        leader = self.wait_for_leader()
        members = self._post(leader, "cluster/member/list", {})["members"]
        target = next(member["ID"] for member in members if member["name"] != leader)
        self._post(leader, "maintenance/transfer-leadership", {"targetID": target})

    @property
    def leader_endpoint(self) -> str:
        return self._clients[self.wait_for_leader()]

    def measure_with_h2load(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Measure h2load with one repeated put over one connection; return numbers as `Measurement.to_json` does."""
        if shutil.which("h2load") is None:
            raise MissingError("h2load is not installed: apt-get install nghttp2-client")
        body, log = self.directory / "put.body", self.directory / "h2load.log"
        body.write_bytes(_framed(_put_message(b"bench/h2load", os.urandom(plan["value_bytes"]))))
        log.unlink(missing_ok=True)
        endpoint, revision = self.leader_endpoint, self._revision()
        text = processes.run(
            [
                *("h2load", "--clients", "1", "--max-concurrent-streams", str(plan["outstanding"])),
                *(
                    "--duration",
                    str(math.ceil(plan["seconds"])),
                    "--warm-up-time",
                    str(math.ceil(plan["warm_up_seconds"])),
                ),
                *("--data", str(body), "--header", "content-type: application/grpc", "--header", "te: trailers"),
                *("--log-file", str(log), f"http://{endpoint}{PUT_METHOD}"),
            ],
            measurement_seconds_max(plan),
        )
        found = _RATE.search(text)
        if found is None:
            raise BenchmarkError(f"h2load printed no rate: {text[-300:]}")
        times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
        if not times or self._revision() - revision < len(times):
            raise BenchmarkError(f"h2load counted {len(times)} puts, etcd {self._revision() - revision}")
        return {
            "mix": "put",
            "outstanding": plan["outstanding"],
            "value_bytes": plan["value_bytes"],
            "seconds": plan["seconds"],
            "per_second": float(found[1]),
            "count": len(times),
            **{f"p{share}_ms": times[len(times) * share // 100] / 1000 for share in (50, 99)},
            "max_ms": times[-1] / 1000,
        }

    def _revision(self) -> int:
        key = base64.b64encode(b"none").decode()
        return int(self._post(self.wait_for_leader(), "kv/range", {"key": key})["header"]["revision"])

    def _post(self, node: str, path: str, content: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"http://{self._clients[node]}/v3/{path}", json.dumps(content).encode())
        with urllib.request.urlopen(request, timeout=HTTP_SECONDS_MAX) as response:
            return json.load(response)

    def _command(self, node: str) -> list[str]:
        cluster = ",".join(f"{name}=http://{address}" for name, address in self._peers.items())
        timing = []
        if self.timing.election_ms is not None:
            # etcd draws from 1 to 2 election time-outs, in steps of a heartbeat, and requires 5 heartbeats in one.
            low, _ = self.timing.election_ms
            timing = ["--election-timeout", str(low), "--heartbeat-interval", str(low // 5)]
        return [
            *("etcd", "--name", node, "--data-dir", str(self.directory / node), "--logger", "zap"),
            *("--listen-client-urls", f"http://{self._clients[node]}"),
            *("--advertise-client-urls", f"http://{self._clients[node]}"),
            *("--listen-peer-urls", f"http://{self._peers[node]}"),
            *("--initial-advertise-peer-urls", f"http://{self._peers[node]}"),
            *("--initial-cluster", cluster, "--initial-cluster-state", "new"),
            *("--log-level", "error", "--quota-backend-bytes", str(QUOTA_BYTES)),
            *timing,
        ]


def _put_message(key: bytes, value: bytes) -> bytes:
    """Return a PutRequest in protobuf's encoding: fields 1 and 2, both bytes."""
    return b"".join(bytes([number << 3 | 2]) + _varint(len(data)) + data for number, data in ((1, key), (2, value)))


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _framed(message: bytes) -> bytes:
    """Return a message with gRPC's prefix: not compressed, and its length."""
    return struct.pack(">BI", 0, len(message)) + message
