"""`raftctl serve`: run one node in the foreground."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    *,
    node_id: Annotated[str, typer.Option("--id", envvar="RAFT_ID", help="Id of this node, one of --peers.")],
    peers: Annotated[
        str,
        typer.Option(
            envvar="RAFT_PEERS",
            metavar="ID=HOST:PORT,…",
            help="Bootstrap peers, this node included. To join a cluster: this node and any members.",
        ),
    ],
    data_dir: Annotated[
        Path,
        typer.Option(envvar="RAFT_DATA_DIR", metavar="DIR", help="Log and snapshots; created if missing."),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            envvar="RAFT_ADDRESS",
            metavar="HOST:PORT",
            help="Address of this node, if it is not among --peers: it then joins their cluster.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(envvar="RAFT_LISTEN", metavar="HOST:PORT", help="Where to serve gRPC.")
    ] = "0.0.0.0:6000",
    http: Annotated[
        str | None,
        typer.Option(envvar="RAFT_HTTP", metavar="HOST:PORT", help="Where to serve /livez, /readyz and /metrics."),
    ] = None,
    election_timeout_ms_min: Annotated[
        int, typer.Option(envvar="RAFT_ELECTION_TIMEOUT_MS_MIN", min=1, help="Minimum election timeout, ms.")
    ] = 150,
    election_timeout_ms_max: Annotated[
        int, typer.Option(envvar="RAFT_ELECTION_TIMEOUT_MS_MAX", min=1, help="Maximum election timeout, ms.")
    ] = 300,
    heartbeat_interval_ms: Annotated[
        int, typer.Option(envvar="RAFT_HEARTBEAT_INTERVAL_MS", min=1, help="Interval of heartbeats, ms.")
    ] = 50,
    lease_reads: Annotated[
        bool,
        typer.Option(
            "--lease-reads",
            envvar="RAFT_LEASE_READS",
            help="Serve reads under the leader's lease: faster, but needs clocks with a bounded drift.",
        ),
    ] = False,
    clock_drift_max: Annotated[
        float,
        typer.Option(
            envvar="RAFT_CLOCK_DRIFT_MAX",
            min=0,
            max=0.99,
            help="Maximum relative clock drift; leases are shortened by it.",
        ),
    ] = 0.1,
    snapshot_entries: Annotated[
        int,
        typer.Option(envvar="RAFT_SNAPSHOT_ENTRIES", min=1, help="Take a snapshot after this many applied entries."),
    ] = 100_000,
    snapshot_bytes: Annotated[
        int,
        typer.Option(
            envvar="RAFT_SNAPSHOT_BYTES",
            min=1,
            help="Or after this many bytes of entries, at least the size of the last snapshot.",
        ),
    ] = 16 * 1024 * 1024,
    tail_entries: Annotated[
        int,
        typer.Option(envvar="RAFT_TAIL_ENTRIES", min=0, help="Entries to keep before a snapshot, for slow followers."),
    ] = 10_000,
    session_ttl_ms: Annotated[
        int,
        typer.Option(envvar="RAFT_SESSION_TTL_MS", min=1, help="Idle time after which a client's session expires, ms."),
    ] = 600_000,
    peer_proxy: Annotated[
        str | None,
        typer.Option(
            envvar="RAFT_PEER_PROXY", metavar="HOST:PORT", help="Reach other nodes through a `raftctl proxy`."
        ),
    ] = None,
) -> None:
    """Serve one node until SIGTERM."""
    from raft_pkg.addresses import parse_peers  # noqa: PLC0415

    addresses = parse_peers(peers, "--peers")
    if address is not None:
        addresses.setdefault(node_id, address)

    from raft_pkg.kv import KeyValueStore  # noqa: PLC0415
    from raft_pkg.kv.service import add_key_value_service  # noqa: PLC0415
    from raft_pkg.server import ServerConfig, run  # noqa: PLC0415

    config = ServerConfig(
        node_id=node_id,
        listen=listen,
        peers=addresses,
        data_dir=data_dir,
        http=http,
        election_timeout_min=election_timeout_ms_min / 1000,
        election_timeout_max=election_timeout_ms_max / 1000,
        heartbeat_interval=heartbeat_interval_ms / 1000,
        lease_reads=lease_reads,
        clock_drift_max=clock_drift_max,
        snapshot_entries=snapshot_entries,
        snapshot_bytes=snapshot_bytes,
        tail_entries=tail_entries,
        session_ttl=session_ttl_ms / 1000,
        peer_proxy=peer_proxy,
    )
    raise typer.Exit(run(config, KeyValueStore, add_key_value_service))
