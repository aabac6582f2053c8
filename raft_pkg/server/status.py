"""What a node reports about itself: the replies of the gRPC service Node."""

from raft_pkg import __version__
from raft_pkg.core.configuration import Member
from raft_pkg.core.raft import Raft
from raft_pkg.core.types import Role
from raft_pkg.rpc import raft_pb2 as pb


def status_response(raft: Raft, *, applied_index: int, leader_address: str, uptime_seconds: float) -> pb.StatusResponse:
    """Return the node's own view of the cluster."""
    return pb.StatusResponse(
        id=raft.node_id,
        version=__version__,
        role=raft.role.value,
        term=raft.current_term,
        leader_id=raft.leader or "",
        leader_address=leader_address,
        commit_index=raft.commit_index,
        applied_index=applied_index,
        last_log_index=raft.log.last_index,
        voters=list(raft.voters),
        uptime_seconds=uptime_seconds,
        learners=[member.node_id for member in raft.configuration.learners],
        first_log_index=raft.log.first_index,
        snapshot_index=raft.snapshot.index if raft.snapshot else 0,
    )


def members_response(raft: Raft, now: float) -> pb.MembersResponse:
    """Return the members of the effective configuration; on the leader with their replication progress."""
    configuration = raft.configuration
    return pb.MembersResponse(
        members=[_member_status(raft, m, now) for m in sorted(configuration.members, key=lambda m: m.node_id)],
        leader_id=raft.leader or "",
        joint=configuration.is_joint,
        committed=raft.configuration_index <= raft.commit_index,
        configuration_index=raft.configuration_index,
        last_log_index=raft.log.last_index,
    )


def _member_status(raft: Raft, member: Member, now: float) -> pb.MemberStatus:
    configuration = raft.configuration
    status = pb.MemberStatus(id=member.node_id, address=member.address, incarnation=member.incarnation)
    status.role = "voter" if member in configuration.voters else "outgoing"
    if configuration.is_learner(member.node_id):
        status.role = "learner"
    status.promoting = member.node_id in configuration.to_promote
    progress = raft.progress.get(member.node_id)
    if progress is not None:
        status.match_index = progress.match_index
        status.last_contact_seconds = now - progress.last_contact
        if progress.snapshot is not None:
            status.snapshot_bytes_sent = progress.snapshot_offset
            status.snapshot_bytes = progress.snapshot.size
    elif raft.role is Role.LEADER and member.node_id == raft.node_id:
        status.match_index = raft.log.last_index
    return status
