"""`raftctl log verify` and `raftctl log inspect`, with and without a snapshot."""

import json

import pytest

from raft_pkg.cli import main
from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.types import Entry, EntryKind, HardState
from raft_pkg.storage import FileStorage

MEMBERS = Configuration(
    voters=(Member("raft-0", "h0:1", 5), Member("raft-1", "h1:1", 6)),
    learners=(Member("raft-2", "h2:1", 7),),
    outgoing=(Member("raft-0", "h0:1", 5),),
    to_promote=("raft-2",),
)
MEMBERS_AS_JSON = {
    "voters": [
        {"id": "raft-0", "address": "h0:1", "incarnation": 5},
        {"id": "raft-1", "address": "h1:1", "incarnation": 6},
    ],
    "learners": [{"id": "raft-2", "address": "h2:1", "incarnation": 7}],
    "outgoing": [{"id": "raft-0", "address": "h0:1", "incarnation": 5}],
    "to_promote": ["raft-2"],
}
MEMBERS_AS_TEXT = "voters raft-0, raft-1; learners raft-2; outgoing raft-0; to promote raft-2"


@pytest.fixture
def storage(tmp_path):
    storage = FileStorage(tmp_path, "raft-0", new_incarnation=lambda: 5)
    storage.recover()
    storage.append(
        HardState(3, "raft-0"),
        [
            Entry(1, 3, EntryKind.CONFIGURATION, MEMBERS.encode()),
            Entry(2, 3, EntryKind.OPEN_SESSION, b""),
            Entry(3, 3, EntryKind.COMMANDS, b"12345"),
            Entry(4, 3, EntryKind.CONFIGURATION, b"no configuration"),
        ],
    )
    storage.sync()
    yield storage
    storage.close()


def raftctl(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(("log", *map(str, arguments)))
    captured = capsys.readouterr()
    return end.value.code, captured.out, captured.err


def install_snapshot(storage):
    writer = storage.begin_snapshot(9, 4, MEMBERS)
    writer.write(b"state")
    return writer.commit()


def test_verify_without_a_snapshot(storage, tmp_path, capsys):
    status, out, _ = raftctl(capsys, "verify", tmp_path, "--json")
    assert status == 0
    assert json.loads(out) == {
        "dir": str(tmp_path), "node": "raft-0", "incarnation": 5, "snapshot": None, "segments": 1, "term": 3,
        "voted_for": "raft-0", "first_log_index": 1, "last_log_index": 4, "last_log_term": 3, "torn_bytes": 0,
    }  # fmt: skip
    status, out, _ = raftctl(capsys, "verify", tmp_path)
    assert status == 0
    assert ["snapshot", "-"] in [line.split() for line in out.splitlines()]


def test_verify_with_a_snapshot(storage, tmp_path, capsys):
    metadata = install_snapshot(storage)
    status, out, _ = raftctl(capsys, "verify", tmp_path, "--json")
    assert status == 0
    report = json.loads(out)
    checksum = f"{metadata.checksum:08x}"
    assert report["snapshot"] == {"index": 9, "term": 4, "size": 5, "checksum": checksum, "members": MEMBERS_AS_JSON}
    assert (report["first_log_index"], report["last_log_index"], report["last_log_term"]) == (10, 9, 4)
    status, out, _ = raftctl(capsys, "verify", tmp_path)
    assert status == 0
    assert f"index 9  term 4  size 5  checksum {checksum}  members {MEMBERS_AS_TEXT}" in out


def test_verify_names_damage_in_the_snapshot(storage, tmp_path, capsys):
    install_snapshot(storage)
    (path,) = tmp_path.glob("*.snapshot")
    path.write_bytes(path.read_bytes().replace(b"state", b"stale"))
    for command in ("verify", "inspect"):
        status, out, err = raftctl(capsys, command, tmp_path)
        assert (status, out) == (2, "")
        assert f"{path}: byte " in err
        assert "the snapshot's 5 bytes do not match their checksum" in err


def test_inspect_shows_every_kind_of_entry(storage, tmp_path, capsys):
    status, out, _ = raftctl(capsys, "inspect", tmp_path, "--json")
    assert status == 0
    records = [json.loads(line) for line in out.splitlines()]
    assert [record["record"] for record in records] == ["hard_state", "hard_state", *["entry"] * 4]
    configuration, session, commands, none = ({**record} for record in records[2:])
    position = {name: configuration.pop(name) for name in ("file", "offset", "bytes")}
    assert position["file"] == "0000000001.log"
    assert configuration == {
        "record": "entry", "index": 1, "term": 3, "kind": "configuration", "data": len(MEMBERS.encode()),
        "members": MEMBERS_AS_JSON,
    }  # fmt: skip
    assert (session["kind"], session["data"], "members" in session) == ("open_session", 0, False)
    assert (commands["kind"], commands["data"]) == ("commands", 5)
    assert (none["kind"], none["members"]) == ("configuration", None)
    lines = raftctl(capsys, "inspect", tmp_path)[1].splitlines()
    assert lines[2].endswith(f"kind configuration  data {len(MEMBERS.encode())}  members {MEMBERS_AS_TEXT}")
    assert lines[3].endswith("kind open_session  data 0")
    assert lines[5].endswith("members -")


def test_inspect_shows_the_snapshot_and_the_start_of_the_log(storage, tmp_path, capsys):
    metadata = install_snapshot(storage)
    storage.append(None, [Entry(10, 4, EntryKind.CONFIGURATION, Configuration().encode())])
    status, out, _ = raftctl(capsys, "inspect", tmp_path, "--json")
    assert status == 0
    snapshot, begin, hard_state, entry = map(json.loads, out.splitlines())
    assert snapshot == {
        "file": "00000000000000000009.snapshot", "offset": snapshot["offset"], "bytes": 5, "record": "snapshot",
        "index": 9, "term": 4, "size": 5, "checksum": f"{metadata.checksum:08x}", "members": MEMBERS_AS_JSON,
    }  # fmt: skip
    assert begin == {
        "file": "0000000002.log", "offset": 0, "bytes": 512, "record": "begin", "after_index": 9, "after_term": 4,
    }  # fmt: skip
    assert (hard_state["term"], entry["index"]) == (3, 10)
    assert raftctl(capsys, "inspect", tmp_path)[1].splitlines()[-1].endswith("members none")
