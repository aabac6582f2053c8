"""Plays scripts: commands that drive a few cores, each followed by what it led to.

A line that begins with `>` is a command, the lines below it that are indented by two spaces are its output, and all
other lines are for the reader. `play` returns the script with the current output.

    config NAME[=NUMBER] …      settings of `RaftConfig`; before the nodes
    voters a b=1,1,2@7 …        a cluster of nodes, optionally with the terms of their log entries, and @ their term
    nodes a b c                 nodes with empty disks that are each other's bootstrap peers
    new d a b c                 another node with an empty disk, and its bootstrap peers
    elect a                     elect a node and deliver all messages; they are not reported
    tick a [TIMES]              let the next time-out of a node expire
    run SECONDS                 let time pass, and deliver all messages at once; they are not reported
    deliver [from a] [to b] [once]    deliver messages and the replies to them; `once`: without the replies
    drop [from a] [to b]        lose the messages in flight
    cut a b | cut a -> b | heal    isolate nodes from the others; cut one direction of a link; restore all links
    crash a | start a | wipe a  `wipe` removes the disk, too
    propose a TEXT | read a     propose a command to the leader; request a read from any node
    snapshot a                  take a snapshot of all applied entries
    add a d [promote] | promote a d | remove a d | transfer a d    commands for the leader a
    log | state                 report all logs; report the state of all nodes
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from raft_pkg.core.configuration import Configuration, Member
from raft_pkg.core.errors import ChangeRefusedError, NotLeaderError, TransferRefusedError
from raft_pkg.core.membership import AddLearner, Promote, Remove
from raft_pkg.core.messages import (
    AppendEntries,
    AppendEntriesReply,
    Discovery,
    InstallSnapshot,
    InstallSnapshotReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadIndexReply,
    RequestVote,
    RequestVoteReply,
)
from raft_pkg.core.raft import Raft
from raft_pkg.core.ready import (
    BecameFollower,
    BecameLeader,
    ConfigurationChanged,
    ConfigurationChangeFailed,
    ConfigurationCommitted,
    ElectionStarted,
    LeaderChanged,
    PreVoteStarted,
    RaftEvent,
    Ready,
    TransferAborted,
    TransferStarted,
    VoteGranted,
)
from raft_pkg.core.types import Entry, EntryKind, HardState, Role
from tests.support.changing import ChangingCluster, address_of
from tests.support.core import CONFIG, log_of

Filter = Callable[[Message], bool]


def play(script: str) -> str:
    """Return the script with the current output of its commands."""
    cluster = ScriptedCluster()
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith("> "):
            lines += [line, *(f"  {output}".rstrip() for output in cluster.command(line[2:].split()))]
        elif not line.startswith("  "):
            lines.append(line)
    return "\n".join(lines) + "\n"


class ScriptedCluster(ChangingCluster):
    """A cluster that reports what its nodes do."""

    def __init__(self) -> None:
        super().__init__((), config=CONFIG)
        self._output: list[str] = []
        self._sent: list[Message] = []
        self._reads: dict[tuple[str, int], str] = {}

    # --- commands ---------------------------------------------------------------------------------------------------

    def command(self, words: Sequence[str]) -> list[str]:
        """Execute a command. Return its output."""
        self._output, self._sent = [], []
        name, *arguments = words
        try:
            getattr(self, f"do_{name}")(*arguments)
        except (NotLeaderError, ChangeRefusedError, TransferRefusedError) as error:
            self._output.append(f"refused: {error}")
        return self._output + grouped_by_recipients(self._sent)

    def do_config(self, *settings: str) -> None:
        pairs = (setting.partition("=") for setting in settings)
        self.config = replace(self.config, **{name: int(value) if value else True for name, _, value in pairs})

    def do_voters(self, *nodes: str) -> None:
        logs = {node_id: terms for node_id, _, terms in (node.partition("=") for node in nodes)}
        voters = []
        for node_id, listed in logs.items():
            self.add(node_id, peers=logs, start=False)
            storage = self.members[node_id].storage
            voters.append(Member(node_id, address_of(node_id), storage.recover().incarnation))
            log, _, term = listed.partition("@")
            terms = [int(term) for term in log.split(",") if term]
            storage.append(HardState(int(term or max(terms, default=0))), log_of(*terms))
            storage.close()
        self.checker.commits.initial = Configuration(tuple(voters))
        for node_id in logs:
            self.initial_configurations[node_id] = self.checker.commits.initial
            self.start(node_id)

    def do_nodes(self, *nodes: str) -> None:
        for node_id in nodes:
            self.add(node_id, peers=nodes)

    def do_new(self, node_id: str, *peers: str) -> None:
        self.add(node_id, peers=peers)

    def do_elect(self, node_id: str) -> None:
        self.elect(node_id)
        self.deliver_all()
        self.tick(node_id)
        self.deliver_all()
        self._output, self._sent = [f"{node_id}: leads term {self[node_id].current_term}"], []

    def do_tick(self, node_id: str, times: str = "1") -> None:
        for _ in range(int(times)):
            self.tick(node_id)

    def do_run(self, seconds: str) -> None:
        self.run(float(seconds))
        self._sent = []

    def do_deliver(self, *words: str) -> None:
        chosen = message_filter(words)
        self._sent = []
        if "once" in words:
            in_flight = [message for message in self.network if chosen(message)]
            self.network = [message for message in self.network if not chosen(message)]
            for message in in_flight:
                self.network.insert(0, message)
                self.deliver()
            return
        self.deliver_all(chosen)
        self._sent = []

    def do_drop(self, *words: str) -> None:
        chosen = message_filter(words)
        self._output += [f"{in_transit(message)}, lost" for message in self.network if chosen(message)]
        self.network = [message for message in self.network if not chosen(message)]

    def do_cut(self, *words: str) -> None:
        if "->" in words:
            sender, _, recipient = words
            self.cut |= {(sender, recipient)}
        else:
            self.isolate(*words)

    def do_heal(self) -> None:
        self.heal()

    def do_crash(self, node_id: str) -> None:
        self.crash(node_id)

    def do_start(self, node_id: str) -> None:
        self.start(node_id)

    def do_wipe(self, node_id: str) -> None:
        self.wipe(node_id)

    def do_propose(self, node_id: str, text: str) -> None:
        self.propose(node_id, text.encode())

    def do_read(self, node_id: str) -> None:
        request_id = self[node_id].read_index(any_node=True)
        self._reads[node_id, request_id] = f"read {len(self._reads) + 1}"
        self._output.append(f"{node_id}: requests {self._reads[node_id, request_id]}")
        self.carry_out(node_id)

    def do_snapshot(self, node_id: str) -> None:
        self.snapshot(node_id)
        log, snapshot = self[node_id].log, self[node_id].snapshot
        assert snapshot is not None
        self._output.append(f"{node_id}: takes snapshot {snapshot.index}, log starts at {log.first_index}")
        self.carry_out(node_id)

    def do_add(self, leader: str, node_id: str, promote: str = "") -> None:
        self.change(leader, AddLearner(node_id, address_of(node_id), bool(promote)))

    def do_promote(self, leader: str, node_id: str) -> None:
        self.change(leader, Promote(node_id))

    def do_remove(self, leader: str, node_id: str) -> None:
        self.change(leader, Remove(node_id))

    def do_transfer(self, leader: str, target: str) -> None:
        self[leader].transfer_leadership(target, self.now)
        self.carry_out(leader)

    def do_log(self) -> None:
        for raft in self.running:
            log = raft.log
            terms = " ".join(str(entry.term) for entry in log.slice(log.first_index, log.last_index + 1))
            compacted = f"({log.base_index} compacted) " if log.base_index else ""
            self._output.append(f"{raft.node_id}: {compacted}{terms or 'empty'}, commit index {raft.commit_index}")

    def do_state(self) -> None:
        for node_id, member in self.members.items():
            self._output.append(f"{node_id}: {'not running' if member.raft is None else describe_node(member.raft)}")

    # --- what happens -----------------------------------------------------------------------------------------------

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages as `Cluster` does; messages that a cut link loses count as sent."""
        messages = list(messages)
        self._sent += messages
        super().send(messages)

    def deliver(self, position: int = 0) -> None:
        """Deliver a message as `Cluster` does, and report it."""
        message = self.network[position]
        lost = "" if self.members[message.recipient].raft is not None else ", not running"
        if self._reports_messages:
            self._output.append(in_transit(message) + lost)
        super().deliver(position)

    _reports_messages = True

    def run(self, seconds: float) -> None:
        """Let time pass as `Cluster` does, without reporting messages."""
        self._reports_messages = False
        super().run(seconds)
        self._reports_messages = True

    def write(self, node_id: str) -> Ready | None:
        """Write as `ChangingCluster` does, and report it."""
        last_written = self.members[node_id].last_written
        ready = super().write(node_id)
        if ready is None:
            return None
        for raft_event in ready.raft_events:
            self._report(node_id, *describe_event(node_id, raft_event))
        for chunk in ready.chunks:
            end = chunk.offset + len(chunk.data)
            self._report(node_id, f"stores bytes {chunk.offset} to {end} of snapshot {chunk.metadata.index}")
            if chunk.is_last:
                self._report(node_id, f"installs snapshot {chunk.metadata.index}")
                last_written = chunk.metadata.index
        if ready.entries:
            replaced = last_written + 1 - ready.entries[0].index
            replacing = f", replacing {replaced}" if replaced > 0 else ""
            self._report(node_id, f"writes {describe_entries(ready.entries)}{replacing}")
        return ready

    def finish(self, node_id: str, ready: Ready) -> None:
        """Finish as `Cluster` does, and report it."""
        super().finish(node_id, ready)
        if ready.committed:
            self._report(node_id, f"applies {describe_entries(ready.committed)}")
        self._report(node_id, *(f"serves {self._reads[node_id, read]} at index {index}" for read, index in ready.reads))
        self._report(node_id, *(f"fails {self._reads[node_id, read]}" for read in ready.failed_reads))

    def _report(self, node_id: str, *what: str) -> None:
        self._output += [f"{node_id}: {line}" for line in what]


# --- descriptions -----------------------------------------------------------------------------------------------------


def message_filter(words: Sequence[str]) -> Filter:
    """Return a filter for messages `from a`, `to b`, or both."""

    def after(word: str) -> str | None:
        return words[words.index(word) + 1] if word in words else None

    sender, recipient = after("from"), after("to")
    return lambda message: sender in (None, message.sender) and recipient in (None, message.recipient)


def grouped_by_recipients(messages: Sequence[Message]) -> list[str]:
    """Describe each message once, with all recipients of equal messages."""
    recipients: dict[tuple[str, str], list[str]] = {}
    for message in messages:
        recipients.setdefault((message.sender, describe_message(message)), []).append(message.recipient)
    return [f"{sender} sends {text} to {', '.join(those)}" for (sender, text), those in recipients.items()]


def in_transit(message: Message) -> str:
    """Describe a message in flight."""
    return f"{message.sender} -> {message.recipient}  {describe_message(message)}"


def describe_message(message: Message) -> str:
    """Describe the type, term and body of a message."""
    return f"{type(message.body).__name__} (term {message.term}){describe_body(message)}"


def describe_body(message: Message) -> str:  # noqa: C901, PLR0911 - one line per type
    """Describe the body of a message."""
    match message.body:
        case PreVote(next_term, index, term):
            return f" for term {next_term}, last entry {index}/{term}"
        case RequestVote(index, term, leadership_transfer):
            return f", last entry {index}/{term}{', leadership transfer' if leadership_transfer else ''}"
        case PreVoteReply(_, vote_granted) | RequestVoteReply(vote_granted):
            return " granted" if vote_granted else " refused"
        case AppendEntries(index, term, entries, commit, read_round):
            return f" after {index}/{term}: {describe_entries(entries)}, commit {commit}{in_round(read_round)}"
        case AppendEntriesReply(success=True, match_index=index, read_round=read_round):
            return f" matches up to {index}{in_round(read_round)}"
        case AppendEntriesReply(rejected_index=index, conflict_term=term, conflict_index=first, read_round=read_round):
            conflict = f"term {term} starts at {first}" if term else f"log ends at {first - 1}"
            return f" rejected after {index}: {conflict}{in_round(read_round)}"
        case InstallSnapshot(metadata, offset, data, read_round):
            return f" {metadata.index}/{metadata.term}, bytes {offset} to {offset + len(data)} of {metadata.size}" + (
                in_round(read_round)
            )
        case InstallSnapshotReply(index, offset, read_round):
            return f" has {offset} bytes of {index}{in_round(read_round)}"
        case ReadIndexReply(_, index):
            return f" {index}"
        case Discovery(uninitialized=uninitialized, leader=leader):
            return f" {'uninitialized' if uninitialized else 'initialized'}{f', follows {leader}' if leader else ''}"
    return ""


def in_round(read_round: int) -> str:
    """Describe the round of heartbeats for reads that a message belongs to, if any."""
    return f", round {read_round}" if read_round else ""


def describe_entries(entries: Sequence[Entry]) -> str:
    """Describe entries as index/term, with their data."""
    return " ".join(f"{entry.index}/{entry.term}{describe_data(entry)}" for entry in entries) or "no entries"


def describe_data(entry: Entry) -> str:
    """Describe the data of an entry."""
    match entry.kind:
        case EntryKind.NOOP:
            return ""
        case EntryKind.CONFIGURATION:
            return f"[{members_of(Configuration.decode(entry.data))}]"
    return f"={entry.data.decode()}"


def members_of(configuration: Configuration) -> str:
    """Describe voters, learners (with a star if they will be promoted), and outgoing voters."""
    learners = "".join(
        f" +{member.node_id}{'*' if member.node_id in configuration.to_promote else ''}"
        for member in configuration.learners
    )
    outgoing = " ".join(member.node_id for member in configuration.outgoing)
    voters = " ".join(member.node_id for member in configuration.voters)
    return f"{voters}{learners}{f', outgoing {outgoing}' if outgoing else ''}"


def describe_event(node_id: str, raft_event: RaftEvent) -> list[str]:  # noqa: C901, PLR0911 - one line per type
    """Describe an event; an event that another one implies has no description."""
    match raft_event:
        case PreVoteStarted(term):
            return [f"starts a pre-vote for term {term + 1}"]
        case ElectionStarted(term, votes_needed):
            return [f"starts an election in term {term}, needs {votes_needed} votes"]
        case VoteGranted(term, candidate):
            return [f"votes for {candidate} in term {term}"]
        case BecameLeader(term, _, votes):
            return [f"BECOMES LEADER of term {term}, votes of {', '.join(votes)}"]
        case BecameFollower(term, _, reason):
            return [f"becomes follower in term {term}: {reason}"]
        case LeaderChanged(term, leader):
            return (
                []
                if leader == node_id
                else [f"follows {leader} in term {term}" if leader else f"knows no leader in term {term}"]
            )
        case ConfigurationChanged(_, index, configuration):
            return [f"uses configuration {members_of(configuration) or 'none'} (entry {index})"]
        case ConfigurationCommitted(_, index):
            return [f"completes the membership change at entry {index}"]
        case ConfigurationChangeFailed(_, reason):
            return [f"fails the membership change: {reason}"]
        case TransferStarted(_, target):
            return [f"starts a transfer to {target}"]
        case TransferAborted(_, target):
            return [f"aborts the transfer to {target}"]


def describe_node(raft: Raft) -> str:
    """Describe role, leader, term and effective configuration of a node."""
    role = raft.role.value.replace("_", "-")
    following = f" of {raft.leader}" if raft.role is Role.FOLLOWER and raft.leader else ""
    return f"{role}{following} in term {raft.current_term}, configuration {members_of(raft.configuration) or 'none'}"
