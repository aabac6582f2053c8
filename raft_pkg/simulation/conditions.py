"""What a run is like: drawn from its seed, so that different seeds visit very different worlds."""

from dataclasses import dataclass, replace
from random import Random

from raft_pkg.core.config import RaftConfig


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asks of a run, besides its seed."""

    nodes: int = 5
    faults_kept: tuple[int, ...] | None = None
    """Of the planned faults, those that happen; None: all. Shrinking a failure tries smaller and smaller choices."""


@dataclass(frozen=True, slots=True)
class Network:
    """How messages fare. Times in seconds."""

    delay_min: float
    delay_mean: float
    """Of an exponential distribution above the least delay: messages overtake each other."""
    loss: float
    """Share of messages that are lost."""
    duplication: float
    """Share of messages that arrive twice."""
    straggling: float
    """Share of messages that come very late, up to `straggle_max`."""
    straggle_max: float = 2.0
    straggle_min: float = 0.05


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that is drawn at the beginning of a run. Times in seconds."""

    faulty_seconds: float
    """How long the phase with faults lasts."""
    faults: int
    """How many faults are planned for it."""
    network: Network
    sync_seconds_max: float
    """A sync takes a random time up to this."""
    segment_bytes: int
    """Size at which the log begins a new segment."""
    raft: RaftConfig
    spares: int
    """Machines besides those that begin the cluster: they may be added to it."""
    spares_run: bool
    """Whether they run before they are wanted."""
    snapshot_entries: int
    """A snapshot is taken when so many entries were applied since the last one."""
    snapshot_bytes: int
    """Or when they had so many bytes."""
    snapshot_step_bytes: int
    """A turn writes so much of a snapshot that is being taken."""
    session_ttl: float
    """In log time."""
    wall_clock_skew: float
    """By how much the machines' wall clocks, of which log time is made, are apart at the most."""
    clients: int
    sessions: float
    """Share of the clients that have a session."""
    pipelined: int
    """Operations that a client has under way at once, at the most."""
    any_node_reads: float
    """Share of the reads that any node may answer."""
    pause_chance: float
    """How often a client does nothing for a while, so that its session may expire."""
    answer_timeout: float
    """How long a client waits for one node's answer before it asks another, if it has a session."""
    keys: int
    think_seconds: float
    """Mean time between a client's operations."""
    operation_timeout: float
    """How long a client waits for an outcome."""
    long_commands: float
    """Share of the commands that do not fit into a sector."""
    rows: float
    """Share of the commands of sessions that wait for others of their client, and go to a node as one request."""


CALM = Network(delay_min=0.0005, delay_mean=0.001, loss=0.0, duplication=0.0, straggling=0.0)
"""The network of the phase without faults."""
SYNC_SECONDS_CALM = 0.002
OPERATIONS_PER_KEY = 5
"""No more operations on one key are under way at once, on average: the judge of a history would come to no end."""
NEVER = 1 << 40
"""So many entries or bytes that there never are as many."""


def draw(seed: int) -> Conditions:
    """The conditions of a seed."""
    chance = Random(f"{seed} conditions")
    election_timeout_min = chance.choice((0.150, 0.150, 0.200, 0.300))
    lease_reads = chance.random() < 0.3
    takes_snapshots = chance.random() < 0.85
    conditions = Conditions(
        faulty_seconds=chance.uniform(2.0, 4.0),
        faults=chance.choice((0, 6, 10, 15, 20, 30)),
        network=Network(
            delay_min=0.0005,
            delay_mean=chance.choice((0.0005, 0.001, 0.003, 0.01, 0.02)),
            loss=chance.choice((0.0, 0.0, 0.01, 0.05, 0.2)),
            duplication=chance.choice((0.0, 0.01, 0.1)),
            straggling=chance.choice((0.0, 0.01, 0.05)),
        ),
        sync_seconds_max=chance.choice((0.0005, 0.002, 0.010, 0.040)),
        segment_bytes=chance.choice((2048, 8192, 1 << 20)),
        raft=RaftConfig(
            election_timeout_min=election_timeout_min,
            election_timeout_max=election_timeout_min * chance.choice((1.5, 2.0, 2.0)),
            heartbeat_interval=election_timeout_min / 3,
            append_bytes_max=chance.choice((32, 256, 1 << 20)),
            appends_in_flight_max=chance.choice((1, 4, 64)),
            snapshot_piece_bytes=chance.choice((50, 150, 500, 1 << 20)),
            tail_entries_max=chance.choice((0, 1, 5, 20)),
            lease_reads=lease_reads,
            clock_drift_max=chance.choice((0.1, 0.3)),
        ),
        spares=chance.choice((0, 1, 1, 2)),
        spares_run=chance.random() < 0.3,
        snapshot_entries=chance.choice((5, 10, 20, 50)) if takes_snapshots else NEVER,
        snapshot_bytes=chance.choice((500, NEVER, NEVER)) if takes_snapshots else NEVER,
        snapshot_step_bytes=chance.choice((200, 1000, 1 << 18)),
        session_ttl=chance.choice((0.4, 1.5, 600.0)),
        wall_clock_skew=chance.choice((0.0, 0.0, 0.1, 2.0)),
        clients=chance.choice((2, 3, 5, 8)),
        sessions=chance.choice((0.0, 0.5, 0.8, 1.0)),
        pipelined=chance.choice((1, 2, 4)),
        any_node_reads=chance.choice((0.0, 0.2, 0.5)),
        pause_chance=chance.choice((0.0, 0.02)),
        answer_timeout=chance.choice((0.05, 0.2)),
        keys=chance.choice((1, 2, 4)),
        think_seconds=chance.choice((0.02, 0.05, 0.1)),
        operation_timeout=chance.choice((0.3, 1.0)),
        long_commands=chance.choice((0.0, 0.2, 0.5)),
        rows=chance.choice((0.0, 0.5, 1.0)),
    )
    at_once = conditions.clients * conditions.pipelined
    return replace(conditions, keys=max(conditions.keys, at_once // OPERATIONS_PER_KEY))
