"""`raftctl cluster`: starting, stopping, and rejected commands."""

import json
import os
import shutil
import socket
import subprocess
import sys

import psutil

from tests.integration.clusters import PATIENT, run_raftctl


def test_data_survives_down_and_up_and_purge_removes_it(new_cluster):
    first = new_cluster.up()
    assert first["changed"] is True
    assert len(first["nodes"]) == 3
    assert {node["state"] for node in first["nodes"]} == {"running"}
    assert first["leader"] in {node["id"] for node in first["nodes"]}
    assert sorted(p.pid for p in new_cluster.processes()) == sorted(node["pid"] for node in first["nodes"])
    assert run_raftctl("put", "kept", "value", "--endpoints", first["endpoints"]).returncode == 0

    again = new_cluster.up()
    assert again["changed"] is False
    assert [node["pid"] for node in again["nodes"]] == [node["pid"] for node in first["nodes"]]

    assert new_cluster.control("down") == {"changed": True, "nodes": ["raft-0", "raft-1", "raft-2"]}
    assert new_cluster.processes() == []
    assert new_cluster.control("down") == {"changed": False, "nodes": []}
    stopped = new_cluster.control("status", status=3)
    assert {(node["state"], node["pid"]) for node in stopped["nodes"]} == {("stopped", None)}

    later = new_cluster.control("up")
    assert later["endpoints"] == first["endpoints"]
    assert run_raftctl("get", "kept", "--endpoints", later["endpoints"]).stdout == "value\n"

    assert new_cluster.control("down", "--purge")["changed"] is True
    assert not new_cluster.directory.exists()


def test_kill_start_pause_resume(new_cluster):
    new_cluster.up()
    assert new_cluster.control("kill", "raft-1") == {"changed": True, "nodes": ["raft-1"]}
    assert new_cluster.control("kill", "raft-1") == {"changed": False, "nodes": []}
    assert new_cluster.control("pause", "raft-0")["nodes"] == ["raft-0"]
    states = [node["state"] for node in new_cluster.control("status", status=3)["nodes"]]
    assert states == ["paused", "stopped", "running"]
    assert new_cluster.control("resume", "--all")["nodes"] == ["raft-0"]
    assert new_cluster.control("start", "--all")["nodes"] == ["raft-1"]
    new_cluster.control("pause", "--all")
    assert new_cluster.up()["changed"] is True
    assert "raft-7" in new_cluster.refused("kill", "raft-7")
    assert "--all" in new_cluster.refused("kill")


def test_down_stops_a_paused_node(new_cluster):
    new_cluster.up("--nodes", "1")
    new_cluster.control("pause", "raft-0")
    assert new_cluster.control("down")["nodes"] == ["raft-0"]
    assert new_cluster.processes() == []


def test_two_concurrent_up_commands_start_one_cluster(new_cluster):
    command = [sys.executable, "-m", "raft_pkg.cli", "cluster", "up", *PATIENT, "--dir", str(new_cluster.directory)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert len(new_cluster.processes()) == 3


def test_up_rejects_other_options_for_a_running_cluster(new_cluster):
    new_cluster.up("--nodes", "1")
    message = new_cluster.refused("up", "--nodes", "3")
    assert "1 nodes, not 3" in message
    assert "run with other values" in new_cluster.refused("up", "--heartbeat-interval-ms", "33")
    new_cluster.control("down")
    new_cluster.control("up", "--heartbeat-interval-ms", "33")
    started = json.loads((new_cluster.directory / "raft-0/stdout.log").read_text().splitlines()[-1])
    assert started["node"] == "raft-0"


def test_an_even_number_of_nodes_is_rejected(new_cluster):
    assert "--nodes 2: choose 1, 3, 5, 7" in new_cluster.refused("up", "--nodes", "2")


def test_a_port_in_use_is_reported_with_its_process(new_cluster):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        message = new_cluster.refused("up", "--nodes", "1", "--base-port", str(port))
    assert f"port {port} is in use by process {os.getpid()}" in message
    assert new_cluster.processes() == []


def test_up_fails_without_a_leader_in_time(new_cluster):
    new_cluster.up()  # bootstrap elects a leader at once; later elections wait for their time-out
    new_cluster.control("down")
    slow = ("--election-timeout-ms-min", "60000", "--election-timeout-ms-max", "60001")
    message = new_cluster.refused("up", *slow, "--timeout", "3", status=3)
    assert "no leader that all nodes follow within 3 s" in message
    assert "follower in term 2" in message
    assert str(new_cluster.directory) in message


def test_the_stderr_of_a_node_that_fails_to_start_is_reported(new_cluster):
    new_cluster.up()
    new_cluster.control("down")
    shutil.rmtree(new_cluster.directory / "raft-1/data")
    shutil.copytree(new_cluster.directory / "raft-0/data", new_cluster.directory / "raft-1/data")
    message = new_cluster.refused("up")
    assert "raft-1 ended with exit status 2" in message
    assert "raft-0" in message.split("exit status 2", 1)[1]


def test_a_later_process_with_the_same_id_is_not_touched(new_cluster):
    new_cluster.up("--nodes", "1")
    new_cluster.control("kill", "raft-0")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other_process:
        file = new_cluster.directory / "cluster.json"
        description = json.loads(file.read_text())
        description["nodes"][0]["pid"] = other_process.pid
        file.write_text(json.dumps(description))
        assert new_cluster.control("status", status=3)["nodes"][0]["state"] == "stopped"
        assert new_cluster.control("down") == {"changed": False, "nodes": []}
        assert other_process.poll() is None


def test_an_unreadable_description_is_reported_and_kept(new_cluster):
    new_cluster.directory.mkdir()
    file = new_cluster.directory / "cluster.json"
    file.write_text("{}")
    for command in ("up", "status", "down"):
        assert str(file) in new_cluster.refused(command)
    assert file.read_text() == "{}"
    file.unlink()  # else the fixture could not read it


def test_commands_without_a_cluster(new_cluster):
    assert "raftctl cluster up" in new_cluster.refused("status")
    assert new_cluster.control("down") == {"changed": False, "nodes": []}


def test_nodes_run_in_a_session_of_their_own(new_cluster):
    new_cluster.up("--nodes", "1")
    process = new_cluster.processes()[0]
    assert os.getsid(process.pid) == process.pid


def test_nodes_of_another_system_get_an_environment_and_stop_as_a_group(new_cluster):
    """The shell starts another program. Signals to the node reach both (docs/reference/contract.md)."""
    command = f"sh -c '{sys.executable} -m raft_pkg.cli serve; exit $?'"
    found = new_cluster.up("--command", command)
    assert run_raftctl("put", "k", "v", "--endpoints", found["endpoints"]).returncode == 0
    shell = psutil.Process(found["nodes"][0]["pid"])
    (node,) = shell.children()
    environment = node.environ()
    assert environment["RAFT_PEERS"].count("=") == environment["RAFT_PEERS_INTERNAL"].count("=") == 3
    assert not set(environment["RAFT_PEERS"].split(",")) & set(environment["RAFT_PEERS_INTERNAL"].split(","))

    new_cluster.control("pause", "raft-0")
    assert {shell.status(), node.status()} == {psutil.STATUS_STOPPED}
    new_cluster.control("resume", "raft-0")
    assert psutil.STATUS_STOPPED not in {shell.status(), node.status()}
    assert new_cluster.control("kill", "raft-0")["nodes"] == ["raft-0"]
    assert psutil.wait_procs([node], 10)[1] == []
    assert new_cluster.control("start", "raft-0")["nodes"] == ["raft-0"]

    assert "another system" in new_cluster.refused("up", "--command", "")
    new_cluster.control("down")
    assert new_cluster.up("--command", command)["endpoints"] == found["endpoints"]


def test_a_missing_command_is_reported(new_cluster):
    assert "none-such" in new_cluster.refused("up", "--command", "none-such --flag")
