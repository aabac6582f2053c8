"""Leadership transfer (dissertation §3.10)."""

from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.errors import TransferRefusedError
from raft_pkg.core.messages import TimeoutNow
from raft_pkg.core.read_index import LeaderReads
from raft_pkg.core.ready import TransferAborted, TransferStarted
from raft_pkg.core.replication import Replication
from raft_pkg.core.state import RaftState


class LeadershipTransfer:
    """Owns the target of the transfer in progress, and its deadline."""

    def __init__(
        self, state: RaftState, configuration: EffectiveConfiguration, replication: Replication, reads: LeaderReads
    ) -> None:
        self._state = state
        self._configuration = configuration
        self._replication = replication
        self._reads = reads
        self.target: str | None = None
        self.deadline = state.now
        """When the transfer is given up, in seconds."""

    def start(self, target: str) -> None:
        """Begin to transfer leadership to `target`. Raise `TransferRefusedError`."""
        state, voters = self._state, self._configuration.voters
        if target not in self._replication.progress or target not in voters:
            others = ", ".join(voter for voter in voters if voter != state.node_id) or "none"
            raise TransferRefusedError(f"{target} is not another voter; other voters: {others}")
        if self._replication.is_unresponsive(target):
            seconds = state.now - self._replication.progress[target].last_contact
            raise TransferRefusedError(f"{target} has not replied for {seconds:.1f} s")
        self.target = target
        self.deadline = state.now + state.config.election_timeout_max
        self._replication.request_heartbeat()
        state.emit(TransferStarted(state.current_term, target))

    def stop(self) -> None:
        """Forget the target: this node no longer leads."""
        self.target = None

    def tick(self) -> None:
        """Give up at the deadline; this leader continues."""
        if self.target is not None and self._state.now >= self.deadline:
            self._state.emit(TransferAborted(self._state.current_term, self.target))
            self.target = None

    def maybe_send_timeout_now(self) -> None:
        """Let the target start its election if it is up to date."""
        if self.target is not None and self._replication.is_up_to_date(self.target):
            self.send_timeout_now(self.target)

    def send_timeout_now(self, target: str) -> None:
        """Tell `target` to start an election; it can replace this leader at any time, regardless of the lease."""
        self._reads.revoke_lease()
        self._state.send(target, self._configuration.incarnations[target], TimeoutNow())
