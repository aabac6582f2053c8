"""The committed generated code matches the .proto files, and every field is documented."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from raft_pkg.core.types import EntryKind
from raft_pkg.kv import kv_pb2 as kv
from raft_pkg.rpc import raft_pb2 as pb

ROOT = Path(__file__).parents[3]
PROTOS = ["raft_pkg/rpc/raft", "raft_pkg/kv/kv", "systems/etcd/etcd"]
GENERATED = [f"{proto}_pb2{end}" for proto in PROTOS for end in (".py", ".pyi", "_grpc.py", "_grpc.pyi")]


@pytest.fixture(scope="module")
def generated_again(tmp_path_factory):
    """Regenerate the code; return its directory."""
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
def test_committed_code_is_up_to_date(generated_again, name):
    made, committed = (generated_again / name).read_text(), (ROOT / name).read_text()
    assert committed == made, f"{name} is out of date; run make proto"


def uncommented_fields(proto):
    """Yield the fields of messages that have a comment neither beside nor above them."""
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


@pytest.mark.parametrize("proto", ["raft_pkg/rpc/raft.proto", "raft_pkg/kv/kv.proto"])
def test_every_field_of_a_message_has_a_comment(proto):
    assert list(uncommented_fields((ROOT / proto).read_text())) == []


def test_parsing_serialized_commands_equals_parsing_them_one_by_one():
    """The key-value store parses a batch in one call: both messages must have the same encoding."""
    commands = [kv.KvCommand(put=kv.PutRequest(key="k", value=b"v")), kv.KvCommand(delete=kv.DeleteRequest(key="l"))]
    joined = kv.SerializedCommands(commands=[command.SerializeToString() for command in commands])
    assert list(kv.KvCommands.FromString(joined.SerializeToString()).commands) == commands


def test_raft_proto_knows_no_key_values():
    assert not [name for name in pb.DESCRIPTOR.message_types_by_name if name.startswith(("Kv", "Put", "Get"))]
    assert sorted(pb.DESCRIPTOR.services_by_name) == ["CommandStream", "Node", "RaftPeer"]


def test_the_check_for_comments_finds_fields_without_one():
    proto = "message A {\n  int32 a = 1;\n  // why\n  int32 b = 2;\n  int32 c = 3;  // why\n  repeated B d = 4;\n}\n"
    assert list(uncommented_fields(proto)) == ["2: int32 a = 1;", "6: repeated B d = 4;"]


def test_entry_kinds_have_the_numbers_of_raft_proto():
    """The log on disk stores the same numbers."""
    on_the_wire = {name.removeprefix("ENTRY_KIND_"): number for name, number in pb.EntryKind.items() if number}
    assert {kind.name: kind.value for kind in EntryKind} == on_the_wire
