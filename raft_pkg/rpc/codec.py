"""Convert the core's messages to and from raft.proto."""

from collections.abc import Callable
from typing import Any
from zlib import crc32

from raft_pkg.core.configuration import INCARNATION_MAX, Configuration
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Body,
    Discovery,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndex,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from raft_pkg.core.types import Entry, EntryKind, SnapshotMetadata
from raft_pkg.rpc import raft_pb2 as pb


class DecodeError(ValueError):
    """A peer's message is corrupt, or not understood by this version."""


def encode_message(message: Message) -> pb.PeerMessage:
    """Return the wire form of a message."""
    envelope: dict[str, Any] = {
        "from": message.sender,
        "to": message.recipient,
        "term": message.term,
        "from_incarnation": message.sender_incarnation,
        "to_incarnation": message.recipient_incarnation,
    }
    name, encode = _ENCODERS[type(message.body)]
    return pb.PeerMessage(**envelope, **{name: encode(message.body)})


def decode_message(message: pb.PeerMessage) -> Message:
    """Return the core's form of a message. Raise `DecodeError`."""
    sender, name = getattr(message, "from"), message.WhichOneof("body")
    if name is None:
        raise DecodeError(f"{sender} sent a message with an unknown body")
    for incarnation in (message.from_incarnation, message.to_incarnation):
        if incarnation > INCARNATION_MAX:
            raise DecodeError(f"{sender} sent a message with the invalid incarnation {incarnation}")
    body = _DECODERS[name](getattr(message, name))
    return Message(sender, message.to, message.term, body, message.from_incarnation, message.to_incarnation)


def _encode_append_entries(body: AppendEntries) -> pb.AppendEntries:
    return pb.AppendEntries(
        prev_log_index=body.prev_log_index,
        prev_log_term=body.prev_log_term,
        entries=[pb.Entry(index=e.index, term=e.term, kind=int(e.kind), data=e.data) for e in body.entries],  # type: ignore[arg-type]
        leader_commit=body.leader_commit,
        read_round=body.read_round,
        leased=body.leased,
    )


def _decode_append_entries(body: pb.AppendEntries) -> AppendEntries:
    return AppendEntries(
        body.prev_log_index,
        body.prev_log_term,
        tuple(_decode_entry(entry, index) for index, entry in enumerate(body.entries, start=body.prev_log_index + 1)),
        body.leader_commit,
        body.read_round,
        body.leased,
    )


def _decode_entry(entry: pb.Entry, index: int) -> Entry:
    if entry.index != index:
        raise DecodeError(f"found entry {entry.index} instead of entry {index}")
    try:
        kind = EntryKind(entry.kind)
    except ValueError:
        raise DecodeError(f"entry {entry.index} has the unknown kind {entry.kind}") from None
    if kind is EntryKind.CONFIGURATION:
        _decode_configuration(entry.data, f"entry {entry.index}")
    return Entry(entry.index, entry.term, kind, entry.data)


def _decode_configuration(data: bytes, where: str) -> Configuration:
    try:
        return Configuration.decode(data)
    except ValueError as error:
        raise DecodeError(f"{where}: {error}") from None


def _encode_append_entries_reply(body: AppendEntriesReply) -> pb.AppendEntriesReply:
    return pb.AppendEntriesReply(
        success=body.success,
        match_index=body.match_index,
        rejected_index=body.rejected_index,
        conflict_term=body.conflict_term,
        conflict_index=body.conflict_index,
        read_round=body.read_round,
    )


def _decode_append_entries_reply(body: pb.AppendEntriesReply) -> AppendEntriesReply:
    return AppendEntriesReply(
        body.success,
        body.match_index,
        body.rejected_index,
        body.conflict_term,
        body.conflict_index,
        body.read_round,
    )


def _encode_install_snapshot(body: InstallSnapshot) -> pb.InstallSnapshot:
    metadata = body.metadata
    return pb.InstallSnapshot(
        index=metadata.index,
        snapshot_term=metadata.term,
        configuration=metadata.configuration.encode(),
        size=metadata.size,
        checksum=metadata.checksum,
        offset=body.offset,
        data=body.data,
        data_checksum=crc32(body.data),
        read_round=body.read_round,
        leased=body.leased,
    )


def _decode_install_snapshot(body: pb.InstallSnapshot) -> InstallSnapshot:
    where = f"the snapshot of index {body.index}"
    if crc32(body.data) != body.data_checksum:
        raise DecodeError(f"{where}: the chunk at offset {body.offset} does not match its checksum")
    configuration = _decode_configuration(body.configuration, where)
    metadata = SnapshotMetadata(body.index, body.snapshot_term, configuration, body.size, body.checksum)
    return InstallSnapshot(metadata, body.offset, body.data, body.read_round, body.leased)


def _encode_discovery(body: Discovery) -> pb.Discovery:
    return pb.Discovery(
        uninitialized=body.uninitialized,
        peers=body.peers,
        address=body.address,
        is_reply=body.is_reply,
        challenge=body.challenge,
        leader_id=body.leader,
        leader_address=body.leader_address,
    )


def _decode_discovery(body: pb.Discovery) -> Discovery:
    peers = tuple(body.peers)
    return Discovery(
        body.uninitialized, peers, body.address, body.is_reply, body.leader_id, body.leader_address, body.challenge
    )


_ENCODERS: dict[type[Body], tuple[str, Callable[[Any], Any]]] = {
    PreVote: (
        "pre_vote",
        lambda body: pb.PreVote(
            next_term=body.next_term, last_log_index=body.last_log_index, last_log_term=body.last_log_term
        ),
    ),
    PreVoteReply: (
        "pre_vote_reply",
        lambda body: pb.PreVoteReply(next_term=body.next_term, vote_granted=body.vote_granted),
    ),
    TimeoutNow: ("timeout_now", lambda _body: pb.TimeoutNow()),
    RequestVote: (
        "request_vote",
        lambda body: pb.RequestVote(
            last_log_index=body.last_log_index,
            last_log_term=body.last_log_term,
            leadership_transfer=body.leadership_transfer,
        ),
    ),
    RequestVoteReply: ("request_vote_reply", lambda body: pb.RequestVoteReply(vote_granted=body.vote_granted)),
    AppendEntries: ("append_entries", _encode_append_entries),
    AppendEntriesReply: ("append_entries_reply", _encode_append_entries_reply),
    InstallSnapshot: ("install_snapshot", _encode_install_snapshot),
    InstallSnapshotReply: (
        "install_snapshot_reply",
        lambda body: pb.InstallSnapshotReply(
            index=body.index, next_offset=body.next_offset, read_round=body.read_round
        ),
    ),
    ReadIndex: ("read_index", lambda body: pb.ReadIndex(id=body.request_id)),
    ReadIndexReply: ("read_index_reply", lambda body: pb.ReadIndexReply(id=body.request_id, index=body.index)),
    Discovery: ("discovery", _encode_discovery),
}

_DECODERS: dict[str, Callable[[Any], Body]] = {
    "pre_vote": lambda body: PreVote(body.next_term, body.last_log_index, body.last_log_term),
    "pre_vote_reply": lambda body: PreVoteReply(body.next_term, body.vote_granted),
    "timeout_now": lambda _body: TimeoutNow(),
    "request_vote": lambda body: RequestVote(body.last_log_index, body.last_log_term, body.leadership_transfer),
    "request_vote_reply": lambda body: RequestVoteReply(body.vote_granted),
    "append_entries": _decode_append_entries,
    "append_entries_reply": _decode_append_entries_reply,
    "install_snapshot": _decode_install_snapshot,
    "install_snapshot_reply": lambda body: InstallSnapshotReply(body.index, body.next_offset, body.read_round),
    "read_index": lambda body: ReadIndex(body.id),
    "read_index_reply": lambda body: ReadIndexReply(body.id, body.index),
    "discovery": _decode_discovery,
}
