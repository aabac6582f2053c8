"""`raftctl serve`: one node, in the foreground."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    *,
    node_id: Annotated[str, typer.Option("--id", envvar="RAFT_ID", help="Identity of this node, among --peers.")],
    peers: Annotated[
        str,
        typer.Option(
            envvar="RAFT_PEERS",
            metavar="ID=HOST:PORT,…",
            help="With whom to begin a cluster, this node included; for a node that joins one: itself and any members.",
        ),
    ],
    data_dir: Annotated[
        Path,
        typer.Option(envvar="RAFT_DATA_DIR", metavar="DIR", help="Log and snapshots; made when it is not there."),
    ],
    address: Annotated[
        str | None,
        typer.Option(
            envvar="RAFT_ADDRESS",
            metavar="HOST:PORT",
            help="Where others reach this node, if --peers does not say: it is to join those that --peers names.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        str, typer.Option(envvar="RAFT_LISTEN", metavar="HOST:PORT", help="Where to take connections.")
    ] = "0.0.0.0:6000",
    http: Annotated[
        str | None,
        typer.Option(envvar="RAFT_HTTP", metavar="HOST:PORT", help="Serve /livez, /readyz and /metrics there."),
    ] = None,
    election_timeout_ms_min: Annotated[
        int, typer.Option(envvar="RAFT_ELECTION_TIMEOUT_MS_MIN", min=1, help="Least time without a leader, ms.")
    ] = 150,
    election_timeout_ms_max: Annotated[
        int, typer.Option(envvar="RAFT_ELECTION_TIMEOUT_MS_MAX", min=1, help="Greatest time without a leader, ms.")
    ] = 300,
    heartbeat_interval_ms: Annotated[
        int, typer.Option(envvar="RAFT_HEARTBEAT_INTERVAL_MS", min=1, help="Time between heartbeats, ms.")
    ] = 50,
    lease_reads: Annotated[
        bool,
        typer.Option(
            "--lease-reads",
            envvar="RAFT_LEASE_READS",
            help="Answer reads by the leader's lease: faster, and right only while clocks run at like rates.",
        ),
    ] = False,
    clock_drift_max: Annotated[
        float,
        typer.Option(
            envvar="RAFT_CLOCK_DRIFT_MAX",
            min=0,
            max=0.99,
            help="How unlike clocks may run; a lease is cut short by it.",
        ),
    ] = 0.1,
    snapshot_entries: Annotated[
        int, typer.Option(envvar="RAFT_SNAPSHOT_ENTRIES", min=1, help="Take a snapshot after so many entries.")
    ] = 100_000,
    snapshot_bytes: Annotated[
        int,
        typer.Option(
            envvar="RAFT_SNAPSHOT_BYTES",
            min=1,
            help="Or after so many bytes of them, and no fewer than the last one has.",
        ),
    ] = 16 * 1024 * 1024,
    tail_entries: Annotated[
        int, typer.Option(envvar="RAFT_TAIL_ENTRIES", min=0, help="Entries before a snapshot that the log keeps.")
    ] = 10_000,
    session_ttl_ms: Annotated[
        int, typer.Option(envvar="RAFT_SESSION_TTL_MS", min=1, help="A client's session ends after so long unused, ms.")
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
