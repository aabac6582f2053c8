"""Arguments and exit statuses of raftctl: invalid usage is status 2, with a message that names the argument."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from raft_pkg.addresses import parse_peers
from raft_pkg.cli import exit_status, main
from raft_pkg.cli.app import app
from raft_pkg.cli.output import value_members
from raft_pkg.errors import (
    ConfigurationError,
    CorruptLogError,
    InvalidOperationError,
    OperationFailedError,
    OutcomeUnknownError,
    RaftError,
)
from raft_pkg.local import ClusterUnavailableError
from raft_pkg.server import ServerConfig

DOCUMENTATION = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


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
    ("arguments", "message"),
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
        (("serve", "--id", "a", "--data-dir", "d", "--peers", ","), "--peers names no node"),
        (("serve", "--id", "a", "--data-dir", "d", "--peers", "a=h:1", "--clock-drift-max", "1"), "--clock-drift-max"),
        (
            ("serve", "--id", "a", "--data-dir", "d", "--peers", "a=h:1", "--snapshot-entries", "0"),
            "--snapshot-entries",
        ),
        (("serve", "--id", "a", "--data-dir", "d", "--peers", "a=h:1", "--session-ttl-ms", "0"), "--session-ttl-ms"),
        (("cluster", "kill", "--dir", "/no/such/dir"), "--all"),
        (("cluster", "kill", "raft-0", "--all", "--dir", "/no/such/dir"), "--all"),
        (("cluster", "status", "--dir", "/no/such/dir"), "no local cluster in /no/such/dir"),
        (("cluster", "up", "--base-port", "70000"), "--base-port"),
    ],
)
def test_invalid_usage_is_named(capsys, arguments, message):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err


def test_markup_in_arguments_is_printed_verbatim(capsys):
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


@pytest.fixture
def served(monkeypatch):
    """Return the list of configurations with which `raftctl serve` starts a server."""
    configurations = []
    monkeypatch.setattr("raft_pkg.server.run", lambda config, *_application: configurations.append(config) or 0)
    return configurations


SERVE = ("serve", "--id", "a", "--peers", "a=h:1", "--data-dir", "d")


def test_the_defaults_of_serve_are_those_of_the_server(capsys, served):
    assert run(capsys, *SERVE)[0] == 0
    assert served == [ServerConfig("a", "0.0.0.0:6000", {"a": "h:1"}, Path("d"))]


NUMBERS = [
    ("clock_drift_max", "0.25", 0.25),
    ("snapshot_entries", "7", 7),
    ("snapshot_bytes", "8", 8),
    ("tail_entries", "0", 0),
    ("session_ttl_ms", "1500", 1.5),
]


@pytest.mark.parametrize("from_environment", [False, True], ids=["options", "environment"])
def test_serve_takes_options_or_environment_variables(capsys, monkeypatch, served, from_environment):
    options = []
    if from_environment:
        monkeypatch.setenv("RAFT_LEASE_READS", "true")
        for name, text, _ in NUMBERS:
            monkeypatch.setenv(f"RAFT_{name.upper()}", text)
    else:
        options = ["--lease-reads", *(f"--{name.replace('_', '-')}={text}" for name, text, _ in NUMBERS)]
    assert run(capsys, *SERVE, *options)[0] == 0
    (config,) = served
    assert config.lease_reads
    assert [getattr(config, name.removesuffix("_ms")) for name, _, _ in NUMBERS] == [value for *_, value in NUMBERS]


def test_every_option_of_serve_is_documented():
    rows = [line for line in DOCUMENTATION.read_text().splitlines() if line.startswith("| `--")]
    documented = {tuple(re.findall(r"`([^`]+)`", row)[:2]) for row in rows}
    (command,) = [c for name, c in typer.main.get_command(app).commands.items() if name == "serve"]
    options = {(option.opts[0], option.envvar) for option in command.params}
    assert options == documented


def test_peers_are_parsed():
    assert parse_peers("a=h:1, b=[::1]:2,", "--peers") == {"a": "h:1", "b": "[::1]:2"}


def test_values_in_json():
    assert value_members("value", None) == {"value": None}
    assert value_members("value", "é".encode()) == {"value": "é"}
    assert value_members("current", b"\xff\x00") == {"current_base64": "/wA="}


def test_help_imports_no_grpc():
    """Importing gRPC takes longer than everything else that --help needs."""
    heavy = ("grpc", "rich", "psutil", "google.protobuf")
    program = f"import sys; from raft_pkg.cli.app import app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
