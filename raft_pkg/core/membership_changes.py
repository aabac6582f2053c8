"""The leader's side of membership changes (paper §6, dissertation §4)."""

from contextlib import suppress

from raft_pkg.core import membership
from raft_pkg.core.bootstrap import AddressBook, Bootstrap
from raft_pkg.core.configuration import Configuration, Electorate, Member
from raft_pkg.core.effective_configuration import EffectiveConfiguration
from raft_pkg.core.errors import ChangeRefusedError
from raft_pkg.core.membership import AddLearner, Change, Promote
from raft_pkg.core.messages import Discovery
from raft_pkg.core.ready import ConfigurationChangeFailed
from raft_pkg.core.replicated_log import ReplicatedLog
from raft_pkg.core.replication import Replication
from raft_pkg.core.state import RaftState
from raft_pkg.core.transfer import LeadershipTransfer
from raft_pkg.core.types import EntryKind

JOIN_ELECTION_TIMEOUTS = 20
"""How long a leader waits for a node that is being added to reply, in maximum election time-outs."""


class MembershipChanges:
    """Owns the node that is being added, and the discovery challenges that have no reply yet."""

    def __init__(
        self,
        state: RaftState,
        configuration: EffectiveConfiguration,
        log: ReplicatedLog,
        *,
        replication: Replication,
        transfer: LeadershipTransfer,
        bootstrap: Bootstrap,
        addresses: AddressBook,
    ) -> None:
        self._state = state
        self._configuration = configuration
        self._log = log
        self._replication = replication
        self._transfer = transfer
        self._bootstrap = bootstrap
        self._addresses = addresses
        self._joining: AddLearner | None = None
        self._join_deadline = state.now
        self._challenges: dict[str, int] = {}

    def stop(self) -> None:
        """Forget everything in progress: this node no longer leads."""
        self._set_joining(None)
        self._challenges.clear()

    # --- ordered changes --------------------------------------------------------------------------------------------

    def propose(self, change: Change) -> None:
        """Begin a change. Raise `ChangeRefusedError`, and `ValueError` for an invalid identity."""
        why_not = self._why_not_now()
        if why_not is not None:
            raise ChangeRefusedError(why_not)
        configuration = self._configuration.current
        match change:
            case AddLearner(node_id, address, promote):
                membership.with_learner(configuration, Member(node_id, address), promote=promote)
                self._set_joining(change)
                self._join_deadline = self._state.now + self._join_timeout()
                self._challenge(node_id)
            case Promote(node_id):
                self._promote(node_id)
            case _:
                self._change_configuration(membership.removed(configuration, change.node_id))

    def _why_not_now(self) -> str | None:
        """Return why the leader cannot change the configuration now, or None if it can."""
        if self._transfer.target is not None:
            return f"leadership is being transferred to {self._transfer.target}"
        if self._joining is not None:
            return f"another change is in progress: {self._joining.node_id} is being added"
        if self._configuration.current.is_joint or self._configuration.index > self._state.commit_index:
            return f"another change is in progress: the configuration at index {self._configuration.index}"
        if not self._state.has_committed_in_own_term:
            return f"the leader has committed no entry of its term {self._state.current_term} yet; try again soon"
        return None

    def _promote(self, node_id: str) -> None:
        configuration = membership.promoted(self._configuration.current, node_id)
        if not self._replication.has_caught_up(node_id):
            missing = self._replication.missing_entries(node_id)
            raise ChangeRefusedError(f"{node_id} has not caught up: it lacks {missing} entries, or is unresponsive")
        self._change_configuration(configuration)

    def _change_configuration(self, configuration: Configuration) -> None:
        """Append a configuration, unless no majority of its voters responds: it could never be committed."""
        responsive = self._replication.responsive_members()
        if not Electorate(configuration).agreed(responsive.__contains__):
            voters = sorted({member.node_id for member in configuration.voters + configuration.outgoing})
            names = ", ".join(voter for voter in voters if voter in responsive) or "none"
            raise ChangeRefusedError(f"it would lose quorum: of the voters {', '.join(voters)} only {names} respond")
        self._append(configuration)

    def _append(self, configuration: Configuration) -> None:
        self._log.append_new(EntryKind.CONFIGURATION, configuration.encode())
        self._replication.request_heartbeat()

    # --- joining nodes ------------------------------------------------------------------------------------------------

    def _join_timeout(self) -> float:
        return JOIN_ELECTION_TIMEOUTS * self._state.config.election_timeout_max

    def _set_joining(self, joining: AddLearner | None) -> None:
        self._joining = joining
        self._addresses.set_joining({} if joining is None else {joining.node_id: joining.address})

    def _challenge(self, node_id: str) -> None:
        """Send a discovery with a challenge: a reply that repeats it is from the node's current incarnation."""
        if node_id not in self._challenges:
            self._challenges[node_id] = next(self._state.request_ids)
        self._bootstrap.send_discovery(node_id, challenge=self._challenges[node_id])

    def handle_discovery(self, member: Member, discovery: Discovery) -> None:
        """Add the sender if it is the joining node; replace its old incarnation if it has lost its disk."""
        node_id = member.node_id
        known_incarnation = self._configuration.incarnations.get(node_id, member.incarnation)
        has_new_incarnation = known_incarnation != member.incarnation
        if discovery.is_reply and discovery.challenge and discovery.challenge == self._challenges.get(node_id):
            del self._challenges[node_id]
            if self._joining is not None and self._joining.node_id == node_id:
                self._add(self._joining, member.incarnation)
            elif has_new_incarnation and self._replication.is_unresponsive(node_id) and self._why_not_now() is None:
                self._change_if_possible(membership.replaced(self._configuration.current, member))
        elif has_new_incarnation and not discovery.is_reply:
            self._challenge(node_id)  # the discovery may be a stale one, of an earlier incarnation

    def _add(self, joining: AddLearner, incarnation: int) -> None:
        """Add the joining node, which has replied."""
        self._set_joining(None)
        learner = Member(joining.node_id, joining.address, incarnation)
        try:
            configuration = self._configuration.current
            self._change_configuration(membership.with_learner(configuration, learner, promote=joining.promote))
        except ChangeRefusedError as error:
            self._state.emit(ConfigurationChangeFailed(self._state.current_term, str(error)))

    # --- automatic changes --------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Ask the joining node again, or give it up; promote a learner that waits for it."""
        joining = self._joining
        if joining is not None and self._state.now >= self._join_deadline:
            self._set_joining(None)
            seconds = f"{self._join_timeout():.0f} s"
            why = f"{joining.node_id} did not reply at {joining.address} within {seconds}; does it run there?"
            self._state.emit(ConfigurationChangeFailed(self._state.current_term, why))
        elif joining is not None:
            self._challenge(joining.node_id)
        elif self._why_not_now() is None:
            self._promote_next()

    def _promote_next(self) -> None:
        configuration = self._configuration.current
        for node_id in configuration.to_promote:
            if self._replication.has_caught_up(node_id):
                self._change_if_possible(membership.promoted(configuration, node_id))
                break

    def _change_if_possible(self, configuration: Configuration) -> None:
        """Make a change that no client ordered; if it is refused, it will be tried again."""
        with suppress(ChangeRefusedError):
            self._change_configuration(configuration)

    def leave_joint(self) -> None:
        """Append C_new, since C_old,new is committed (§6)."""
        self._append(membership.left_joint(self._configuration.current))
