"""What is generated from our .proto files is what is committed, and every field of raft.proto says what it is for."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import raft_pkg.rpc
from raft_pkg.core.types import EntryKind
from raft_pkg.rpc import raft_pb2 as pb

PACKAGE = Path(raft_pkg.rpc.__file__).parent
ROOT = PACKAGE.parent.parent
PROTOS = ["raft_pkg/rpc/raft", "systems/etcd/etcd"]
GENERATED = [f"{proto}_pb2{end}" for proto in PROTOS for end in (".py", ".pyi", "_grpc.py", "_grpc.pyi")]


@pytest.fixture(scope="module")
def generated_again(tmp_path_factory):
    """A directory with what the compiler makes of them now."""
    pytest.importorskip("grpc_tools", reason="the compiler is not installed (pip install grpcio-tools)")
    directory = tmp_path_factory.mktemp("generated")
    options = ["--python_out=", "--grpc_python_out=", "--mypy_out=quiet:", "--mypy_grpc_out=quiet:"]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "-I.",
            *(o + str(directory) for o in options),
            *(f"{proto}.proto" for proto in PROTOS),
        ],
        cwd=ROOT,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        check=True,
        timeout=60,
    )
    return directory


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_committed_is_what_the_compiler_makes(generated_again, name):
    made, committed = (generated_again / name).read_text(), (ROOT / name).read_text()
    assert committed == made, f"{name} is not what its .proto says; run make proto"


def uncommented_fields(proto):
    """Fields of messages, and what stands before them, where neither has a comment."""
    previous = ""
    inside: list[str] = []
    for number, line in enumerate(proto.splitlines(), start=1):
        text = line.strip()
        opened = re.match(r"(message|enum|oneof|service)\s+(\w+)\s*\{", text)
        if opened and not text.endswith("}"):
            inside.append(opened[1])
        is_field = inside and inside[-1] != "service" and re.match(r"[\w .<>,]+ = \d+;", text)
        # A message field of a oneof, and the zero of an enumeration, are described where their type is.
        needs_comment = is_field and inside[-1] == "message"
        if needs_comment and "//" not in text and not previous.startswith("//"):
            yield f"{number}: {text}"
        if text == "}":
            inside.pop()
        previous = text


def test_every_field_of_a_message_has_a_comment():
    assert list(uncommented_fields((PACKAGE / "raft.proto").read_text())) == []


def test_the_check_for_comments_finds_what_has_none():
    proto = "message A {\n  int32 a = 1;\n  // why\n  int32 b = 2;\n  int32 c = 3;  // why\n  repeated B d = 4;\n}\n"
    assert list(uncommented_fields(proto)) == ["2: int32 a = 1;", "6: repeated B d = 4;"]


def test_kinds_of_entries_have_the_numbers_of_the_wire():
    """The log on disk uses them too."""
    on_the_wire = {name.removeprefix("ENTRY_KIND_"): number for name, number in pb.EntryKind.items() if number}
    assert {kind.name: kind.value for kind in EntryKind} == on_the_wire
