"""The parameters of a run, drawn from its seed, so that different seeds explore very different runs."""

from dataclasses import dataclass, replace
from random import Random

from raft_pkg.core.config import RaftConfig


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chooses besides the seed."""

    nodes: int = 5
    """Number of nodes that bootstrap the cluster."""
    faults_kept: tuple[int, ...] | None = None
    """Numbers of the scheduled faults to inject; None: all. Shrinking a failure tries smaller and smaller subsets."""


@dataclass(frozen=True, slots=True)
class NetworkParameters:
    """Delays in seconds, and shares of messages."""

    delay_min: float
    delay_mean: float
    """Mean of the exponentially distributed delay beyond `delay_min`, which reorders messages."""
    loss: float
    """Share of messages that are lost."""
    duplication: float
    """Share of messages that arrive twice."""
    straggling: float
    """Share of messages that arrive much later, by `straggle_min` to `straggle_max`."""
    straggle_max: float = 2.0
    straggle_min: float = 0.05


@dataclass(frozen=True, slots=True)
class Parameters:
    """All parameters of a run. Times in seconds."""

    faulty_seconds: float
    """Length of the phase with faults."""
    faults: int
    """Number of faults in the schedule."""
    network: NetworkParameters
    sync_seconds_max: float
    """A sync takes a random time up to this."""
    segment_bytes: int
    """Size at which the log starts a new segment."""
    raft: RaftConfig
    spares: int
    """Machines outside the initial cluster, which may be added to it."""
    spares_run: bool
    """Whether spare machines run before they are added."""
    snapshot_entries: int
    """Number of applied entries after which a node takes a snapshot."""
    snapshot_bytes: int
    """Bytes of applied entries after which a node takes a snapshot."""
    snapshot_step_bytes: int
    """Bytes of a snapshot that one iteration of the event loop writes."""
    session_ttl: float
    """In log time."""
    wall_clock_skew: float
    """Greatest difference between the machines' wall clocks, from which log time is made."""
    clients: int
    sessions: float
    """Share of the clients that use a session."""
    pipelined: int
    """Greatest number of concurrent operations of a client."""
    any_node_reads: float
    """Share of the reads that any node may serve."""
    pause_probability: float
    """Probability that a client pauses before an operation, so that its session may expire."""
    response_timeout: float
    """Time after which a client with a session tries another node."""
    keys: int
    think_seconds: float
    """Mean time between a client's operations."""
    operation_timeout: float
    """Time after which a client gives an operation up."""
    long_commands: float
    """Share of the commands that exceed a sector of the disk."""
    batched: float
    """Share of the commands in sessions that wait for others of their client, to be sent in one request."""


QUIESCENT_NETWORK = NetworkParameters(delay_min=0.0005, delay_mean=0.001, loss=0.0, duplication=0.0, straggling=0.0)
"""The network of the quiescent phase, which has no faults."""
QUIESCENT_SYNC_SECONDS_MAX = 0.002
OPERATIONS_PER_KEY = 5
"""Average number of concurrent operations per key, which bounds the search for a linearization."""
NEVER = 1 << 40
"""A number of entries or bytes that no run reaches."""


def draw_parameters(seed: int) -> Parameters:
    """Draw the parameters of a seed."""
    rng = Random(f"{seed} conditions")  # another seed string would change all runs
    election_timeout_min = rng.choice((0.150, 0.150, 0.200, 0.300))
    lease_reads = rng.random() < 0.3
    takes_snapshots = rng.random() < 0.85
    parameters = Parameters(
        faulty_seconds=rng.uniform(2.0, 4.0),
        faults=rng.choice((0, 6, 10, 15, 20, 30)),
        network=NetworkParameters(
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
        response_timeout=rng.choice((0.05, 0.2)),
        keys=rng.choice((1, 2, 4)),
        think_seconds=rng.choice((0.02, 0.05, 0.1)),
        operation_timeout=rng.choice((0.3, 1.0)),
        long_commands=rng.choice((0.0, 0.2, 0.5)),
        batched=rng.choice((0.0, 0.5, 1.0)),
    )
    concurrent_operations = parameters.clients * parameters.pipelined
    return replace(parameters, keys=max(parameters.keys, concurrent_operations // OPERATIONS_PER_KEY))
