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
    pause_probability: float
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
    rng = Random(f"{seed} conditions")
    election_timeout_min = rng.choice((0.150, 0.150, 0.200, 0.300))
    lease_reads = rng.random() < 0.3
    takes_snapshots = rng.random() < 0.85
    conditions = Conditions(
        faulty_seconds=rng.uniform(2.0, 4.0),
        faults=rng.choice((0, 6, 10, 15, 20, 30)),
        network=Network(
            delay_min=0.0005,
            delay_mean=rng.choice((0.0005, 0.001, 0.003, 0.01, 0.02)),
            loss=rng.choice((0.0, 0.0, 0.01, 0.05, 0.2)),
            duplication=rng.choice((0.0, 0.01, 0.1)),
            straggling=rng.choice((0.0, 0.01, 0.05)),
        ),
        sync_seconds_max=rng.choice((0.0005, 0.002, 0.010, 0.040)),
        segment_bytes=rng.choice((2048, 8192, 1 << 20)),
        raft=RaftConfig(
            election_timeout_min=election_timeout_min,
            election_timeout_max=election_timeout_min * rng.choice((1.5, 2.0, 2.0)),
            heartbeat_interval=election_timeout_min / 3,
            append_bytes_max=rng.choice((32, 256, 1 << 20)),
            appends_in_flight_max=rng.choice((1, 4, 64)),
            snapshot_chunk_bytes=rng.choice((50, 150, 500, 1 << 20)),
            tail_entries_max=rng.choice((0, 1, 5, 20)),
            lease_reads=lease_reads,
            clock_drift_max=rng.choice((0.1, 0.3)),
        ),
        spares=rng.choice((0, 1, 1, 2)),
        spares_run=rng.random() < 0.3,
        snapshot_entries=rng.choice((5, 10, 20, 50)) if takes_snapshots else NEVER,
        snapshot_bytes=rng.choice((500, NEVER, NEVER)) if takes_snapshots else NEVER,
        snapshot_step_bytes=rng.choice((200, 1000, 1 << 18)),
        session_ttl=rng.choice((0.4, 1.5, 600.0)),
        wall_clock_skew=rng.choice((0.0, 0.0, 0.1, 2.0)),
        clients=rng.choice((2, 3, 5, 8)),
        sessions=rng.choice((0.0, 0.5, 0.8, 1.0)),
        pipelined=rng.choice((1, 2, 4)),
        any_node_reads=rng.choice((0.0, 0.2, 0.5)),
        pause_probability=rng.choice((0.0, 0.02)),
        answer_timeout=rng.choice((0.05, 0.2)),
        keys=rng.choice((1, 2, 4)),
        think_seconds=rng.choice((0.02, 0.05, 0.1)),
        operation_timeout=rng.choice((0.3, 1.0)),
        long_commands=rng.choice((0.0, 0.2, 0.5)),
        rows=rng.choice((0.0, 0.5, 1.0)),
    )
    inline = conditions.clients * conditions.pipelined
    return replace(conditions, keys=max(conditions.keys, inline // OPERATIONS_PER_KEY))
