"""Plays scripts: a handful of commands that drive a few cores, and below each what happened, in words.

A line that begins with `>` is a command, lines indented by two blanks below it are what it led to, all others are for
the reader. `play` returns the script with what happens now in the place of what stood there.

    with NAME[=NUMBER] …        settings of `RaftConfig`, before the nodes
    voters a b=1,1,2@7 …        nodes that are a cluster already, with logs of these terms; this one is in term 7
    nodes a b c                 nodes with empty disks, which were told of each other
    new d a b c                 one more, which was told of these
    lead a                      it is elected and all is said, which is not told
    tick a [TIMES]              its next time-out passes
    run SECONDS                 time passes, and all messages arrive at once; tells what happens and not what is said
    deliver [from a] [to b] [once]    messages arrive, and what answers them, until all is said; `once`: no answers
    drop [from a] [to b]        messages that are under way get lost
    cut a b | cut a -> b | heal    a and b are cut off from the others; one direction; all links work again
    crash a | start a | wipe a  `wipe` takes the disk as well
    propose a TEXT | read a     at the leader; any node may be asked to `read`
    snapshot a                  of all that it has applied
    add a d [promote] | promote a d | remove a d | transfer a d    orders to the leader a
    log | state                 all logs, as the paper draws them; what all nodes are
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
    ChangeCompleted,
    ChangeFailed,
    ConfigurationChanged,
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
    """The script, with what each of its commands leads to now."""
    stage = Stage()
    lines: list[str] = []
    for line in script.splitlines():
        if line.startswith("> "):
            lines += [line, *(f"  {told}".rstrip() for told in stage.command(line[2:].split()))]
        elif not line.startswith("  "):
            lines.append(line)
    return "\n".join(lines) + "\n"


class Stage(ChangingCluster):
    """A cluster that tells what its nodes do."""

    def __init__(self) -> None:
        super().__init__((), config=CONFIG)
        self._told: list[str] = []
        self._sent: list[Message] = []
        self._reads: dict[tuple[str, int], str] = {}

    # --- commands ---------------------------------------------------------------------------------------------------

    def command(self, words: Sequence[str]) -> list[str]:
        """Carry out one command; returns what it led to."""
        self._told, self._sent = [], []
        name, *arguments = words
        try:
            getattr(self, f"do_{name}")(*arguments)
        except (NotLeaderError, ChangeRefusedError, TransferRefusedError) as error:
            self._told.append(f"refused: {error}")
        return self._told + sent_together(self._sent)

    def do_with(self, *settings: str) -> None:
        pairs = (setting.partition("=") for setting in settings)
        self.config = replace(self.config, **{name: int(value) if value else True for name, _, value in pairs})

    def do_voters(self, *nodes: str) -> None:
        logs = {node_id: terms for node_id, _, terms in (node.partition("=") for node in nodes)}
        voters = []
        for node_id, listed in logs.items():
            self.add(node_id, peers=logs, start=False)
            disk = self.members[node_id].disk
            voters.append(Member(node_id, address_of(node_id), disk.recover().incarnation))
            log, _, term = listed.partition("@")
            terms = [int(term) for term in log.split(",") if term]
            disk.append(HardState(int(term or max(terms, default=0))), log_of(*terms))
            disk.close()
        for node_id in logs:
            self.given[node_id] = Configuration(tuple(voters))
            self.start(node_id)

    def do_nodes(self, *nodes: str) -> None:
        for node_id in nodes:
            self.add(node_id, peers=nodes)

    def do_new(self, node_id: str, *peers: str) -> None:
        self.add(node_id, peers=peers)

    def do_lead(self, node_id: str) -> None:
        self.elect(node_id)
        self.deliver_all()
        self.tick(node_id)
        self.deliver_all()
        self._told, self._sent = [f"{node_id}: leads term {self[node_id].current_term}"], []

    def do_tick(self, node_id: str, times: str = "1") -> None:
        for _ in range(int(times)):
            self.tick(node_id)

    def do_run(self, seconds: str) -> None:
        self.run(float(seconds))
        self._sent = []

    def do_deliver(self, *words: str) -> None:
        chosen = which(words)
        self._sent = []
        if "once" in words:
            under_way = [message for message in self.network if chosen(message)]
            self.network = [message for message in self.network if not chosen(message)]
            for message in under_way:
                self.network.insert(0, message)
                self.deliver()
            return
        self.deliver_all(chosen)
        self._sent = []

    def do_drop(self, *words: str) -> None:
        chosen = which(words)
        self._told += [f"{said(message)}, lost" for message in self.network if chosen(message)]
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
        number = self[node_id].read_index(any_node=True)
        self._reads[node_id, number] = f"read {len(self._reads) + 1}"
        self._told.append(f"{node_id}: {self._reads[node_id, number]} is asked for")
        self.carry_out(node_id)

    def do_snapshot(self, node_id: str) -> None:
        self.snapshot(node_id)
        log, snapshot = self[node_id].log, self[node_id].snapshot
        assert snapshot is not None
        self._told.append(f"{node_id}: has a snapshot up to {snapshot.index}, and a log from {log.first_index} on")
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
            before = f"({log.base_index} before) " if log.base_index else ""
            self._told.append(f"{raft.node_id}: {before}{terms or 'nothing'}, committed up to {raft.commit_index}")

    def do_state(self) -> None:
        for node_id, member in self.members.items():
            self._told.append(f"{node_id}: {'does not run' if member.raft is None else what_it_is(member.raft)}")

    # --- what happens -----------------------------------------------------------------------------------------------

    def send(self, messages: Iterable[Message]) -> None:
        """As in `Cluster`; also those that a cut link loses were sent."""
        messages = list(messages)
        self._sent += messages
        super().send(messages)

    def deliver(self, position: int = 0) -> None:
        """As in `Cluster`, and told."""
        message = self.network[position]
        lost = "" if self.members[message.recipient].raft is not None else ", which does not run"
        if self._tells_messages:
            self._told.append(said(message) + lost)
        super().deliver(position)

    _tells_messages = True

    def run(self, seconds: float) -> None:
        """As in `Cluster`; what is said meanwhile is not told."""
        self._tells_messages = False
        super().run(seconds)
        self._tells_messages = True

    def write(self, node_id: str) -> Ready | None:
        """As in `ChangingCluster`, and told."""
        last_written = self.members[node_id].last_written
        ready = super().write(node_id)
        if ready is None:
            return None
        for raft_event in ready.raft_events:
            self._tell(node_id, *noticed(node_id, raft_event))
        for chunk in ready.chunks:
            end = chunk.offset + len(chunk.data)
            self._tell(node_id, f"keeps bytes {chunk.offset} to {end} of snapshot {chunk.metadata.index}")
            if chunk.is_last:
                self._tell(node_id, f"installs snapshot {chunk.metadata.index}")
                last_written = chunk.metadata.index
        if ready.entries:
            replaced = last_written + 1 - ready.entries[0].index
            instead = f" instead of {replaced} that stood there" if replaced > 0 else ""
            self._tell(node_id, f"writes {placed(ready.entries)}{instead}")
        return ready

    def finish(self, node_id: str, ready: Ready) -> None:
        """As in `Cluster`, and told."""
        super().finish(node_id, ready)
        if ready.committed:
            self._tell(node_id, f"applies {placed(ready.committed)}")
        self._tell(node_id, *(f"answers {self._reads[node_id, number]} at {index}" for number, index in ready.reads))
        self._tell(node_id, *(f"gives up {self._reads[node_id, number]}" for number in ready.failed_reads))

    def _tell(self, node_id: str, *what: str) -> None:
        self._told += [f"{node_id}: {line}" for line in what]


# --- words ------------------------------------------------------------------------------------------------------------


def which(words: Sequence[str]) -> Filter:
    """The messages that `from a`, `to b`, or both, mean."""

    def after(word: str) -> str | None:
        return words[words.index(word) + 1] if word in words else None

    sender, recipient = after("from"), after("to")
    return lambda message: sender in (None, message.sender) and recipient in (None, message.recipient)


def sent_together(messages: Sequence[Message]) -> list[str]:
    """What was sent, each once, with all who get the same."""
    recipients: dict[tuple[str, str], list[str]] = {}
    for message in messages:
        recipients.setdefault((message.sender, in_words(message)), []).append(message.recipient)
    return [f"{sender} sends {words} to {', '.join(those)}" for (sender, words), those in recipients.items()]


def said(message: Message) -> str:
    """A message on its way."""
    return f"{message.sender} -> {message.recipient}  {in_words(message)}"


def in_words(message: Message) -> str:
    """A message's kind, term and contents."""
    return f"{type(message.body).__name__} (term {message.term}){contents(message)}"


def contents(message: Message) -> str:  # noqa: C901, PLR0911 - one line a kind
    """What there is to say about the body of a message."""
    match message.body:
        case PreVote(next_term, index, term):
            return f" for term {next_term}, its log ends at {index}/{term}"
        case RequestVote(index, term, leadership_transfer):
            return f", its log ends at {index}/{term}{', ordered by the leader' if leadership_transfer else ''}"
        case PreVoteReply(_, vote_granted) | RequestVoteReply(vote_granted):
            return " yes" if vote_granted else " no"
        case AppendEntries(index, term, entries, commit, read_round):
            return f" after {index}/{term}: {placed(entries)}, commit {commit}{in_round(read_round)}"
        case AppendEntriesReply(success=True, match_index=index, read_round=read_round):
            return f" matches up to {index}{in_round(read_round)}"
        case AppendEntriesReply(rejected_index=index, conflict_term=term, conflict_index=first, read_round=read_round):
            there = f"term {term} from {first} on" if term else f"nothing from {first} on"
            return f" no, not after {index}: {there}{in_round(read_round)}"
        case InstallSnapshot(metadata, offset, data, read_round):
            return f" {metadata.index}/{metadata.term}, bytes {offset} to {offset + len(data)} of {metadata.size}" + (
                in_round(read_round)
            )
        case InstallSnapshotReply(index, offset, read_round):
            return f" has {offset} bytes of {index}{in_round(read_round)}"
        case ReadIndexReply(_, index):
            return f" {index}"
        case Discovery(uninitialized=uninitialized, leader=leader):
            return (
                f" {'uninitialized' if uninitialized else 'not uninitialized'}{f', follows {leader}' if leader else ''}"
            )
    return ""


def in_round(read_round: int) -> str:
    """The round of heartbeats that a message belongs to; the first ones have none."""
    return f", round {read_round}" if read_round else ""


def placed(entries: Sequence[Entry]) -> str:
    """Entries as index/term, with what they hold."""
    return " ".join(f"{entry.index}/{entry.term}{held(entry)}" for entry in entries) or "nothing"


def held(entry: Entry) -> str:
    """What an entry holds."""
    match entry.kind:
        case EntryKind.NOOP:
            return ""
        case EntryKind.CONFIGURATION:
            return f"[{members_of(Configuration.decode(entry.data))}]"
    return f"={entry.data.decode()}"


def members_of(configuration: Configuration) -> str:
    """The voters, the learners (those that will be promoted with a star), and while it is joint the older voters."""
    learners = "".join(
        f" +{member.node_id}{'*' if member.node_id in configuration.to_promote else ''}"
        for member in configuration.learners
    )
    outgoing = " ".join(member.node_id for member in configuration.outgoing)
    voters = " ".join(member.node_id for member in configuration.voters)
    return f"{voters}{learners}{f' and before {outgoing}' if outgoing else ''}"


def noticed(node_id: str, raft_event: RaftEvent) -> list[str]:  # noqa: C901, PLR0911 - one line a kind
    """A raft_event in words; nothing where another one says it."""
    match raft_event:
        case PreVoteStarted(term):
            return [f"asks whether it would win term {term + 1}"]
        case ElectionStarted(term, votes_needed):
            return [f"stands in term {term}, and needs {votes_needed} votes"]
        case VoteGranted(term, candidate):
            return [f"votes for {candidate} in term {term}"]
        case BecameLeader(term, _, votes):
            return [f"LEADS term {term} with the votes of {', '.join(votes)}"]
        case BecameFollower(term, _, reason):
            return [f"is a follower in term {term}: {reason}"]
        case LeaderChanged(term, leader):
            return [] if leader == node_id else [f"follows {leader or 'nobody'} in term {term}"]
        case ConfigurationChanged(_, index, configuration):
            return [f"goes by {members_of(configuration) or 'no configuration'} (entry {index})"]
        case ChangeCompleted(_, index):
            return [f"completes a change with entry {index}"]
        case ChangeFailed(_, why):
            return [f"gives up a change: {why}"]
        case TransferStarted(_, target):
            return [f"hands over to {target}"]
        case TransferAborted(_, target):
            return [f"goes on, since {target} did not take over"]


def what_it_is(raft: Raft) -> str:
    """Role, term, whom it follows, and by which configuration it goes."""
    role = raft.role.value.replace("_", "-")
    following = f" of {raft.leader}" if raft.role is Role.FOLLOWER and raft.leader else ""
    return f"{role}{following} in term {raft.current_term}, goes by {members_of(raft.configuration) or 'nothing'}"
