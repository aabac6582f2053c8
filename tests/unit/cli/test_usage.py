"""What raftctl makes of its arguments: exit status 2, and one line that names what is wrong."""

import os
import subprocess
import sys

import pytest

from raft_pkg.cli import exit_status, main
from raft_pkg.cli.output import value_members
from raft_pkg.cli.serve import parse_peers
from raft_pkg.errors import (
    ConfigurationError,
    CorruptLogError,
    InvalidOperationError,
    OperationFailedError,
    OutcomeUnknownError,
    RaftError,
)
from raft_pkg.local import ClusterUnavailableError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("RAFT_")]:
        monkeypatch.delenv(name)


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return end.value.code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("nonsense",), "nonsense"),
        (("get", "k"), "--endpoints"),
        (("get", "--endpoints", "a:1"), "KEY"),
        (("get", "k", "--endpoints", "a"), "address 'a' is not HOST:PORT"),
        (("get", "k", "--endpoints", ","), "no endpoints"),
        (("get", "k", "--endpoints", "a:1", "--timeout", "0"), "--timeout"),
        (("put", "k", "--endpoints", "a:1"), "either VALUE or --value-file"),
        (("put", "k", "v", "--value-file", "f", "--endpoints", "a:1"), "either VALUE or --value-file"),
        (("put", "k", "--value-file", "/no/such/file", "--endpoints", "a:1"), "/no/such/file"),
        (("cas", "k", "new", "--endpoints", "a:1"), "cas takes KEY OLD NEW"),
        (("cas", "k", "old", "new", "--absent", "--endpoints", "a:1"), "--absent KEY NEW"),
        (("put", "", "v", "--endpoints", "a:1"), "1 to 1024 bytes"),
        (("client", "--endpoints", "a:1", "--expect", "nothing"), "--expect 'nothing' is not KEY=VALUE"),
        (("client", "--endpoints", "a:1", "--operations", "-1"), "--operations"),
        (("serve", "--id", "a", "--data-dir", "d"), "--peers"),
        (("serve", "--id", "a", "--data-dir", "d", "--peers", "a"), "--peers: 'a' is not ID=HOST:PORT"),
        (("serve", "--id", "b", "--data-dir", "d", "--peers", "a=h:1"), "--id b is not among --peers"),
        (("cluster", "kill", "--dir", "/no/such/dir"), "--all"),
        (("cluster", "kill", "raft-0", "--all", "--dir", "/no/such/dir"), "--all"),
        (("cluster", "status", "--dir", "/no/such/dir"), "no local cluster in /no/such/dir"),
        (("cluster", "up", "--base-port", "70000"), "--base-port"),
    ],
)
def test_wrong_usage_is_named(capsys, arguments, named):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert named in err


def test_markup_in_arguments_is_shown_as_it_is(capsys):
    _, _, err = run(capsys, "get", "k", "--endpoints", "[bold]x[/bold]")
    assert "[bold]x[/bold]" in err


def test_version_and_help(capsys):
    assert run(capsys, "--version")[:2] == (0, "raftctl 0.1.0\n")
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert all(command in out for command in ("serve", "put", "get", "delete", "cas", "append", "status", "client"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigurationError(), 2),
        (CorruptLogError(), 2),
        (InvalidOperationError(), 2),
        (OperationFailedError(), 3),
        (OutcomeUnknownError(), 3),
        (ClusterUnavailableError(), 3),
        (RaftError(), 1),
    ],
)
def test_exit_status_of_each_error(error, status):
    assert exit_status(error) == status


def test_peers():
    assert parse_peers("a=h:1, b=[::1]:2,") == {"a": "h:1", "b": "[::1]:2"}


def test_values_in_json():
    assert value_members("value", None) == {"value": None}
    assert value_members("value", "é".encode()) == {"value": "é"}
    assert value_members("current", b"\xff\x00") == {"current_base64": "/wA="}


def test_help_imports_no_grpc():
    """People wait for --help and for shell completion; gRPC costs more than all the rest."""
    heavy = ("grpc", "rich", "psutil", "google.protobuf")
    program = f"import sys; from raft_pkg.cli.app import app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
