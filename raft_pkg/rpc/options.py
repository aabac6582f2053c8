"""gRPC options and metadata keys that nodes, clients and proxies share."""

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Greatest size of a message that either side accepts."""

_SIZES = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    *_SIZES,
    # Only pings detect a path that drops packets silently.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    # Each channel needs a connection of its own, to be closed and dialled again independently.
    ("grpc.use_local_subchannel_pool", 1),
    # Targets are IP addresses just resolved; an HTTP proxy could not reach them.
    ("grpc.enable_http_proxy", 0),
]

SERVER_OPTIONS: list[tuple[str, int]] = [
    *_SIZES,
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    # Otherwise a second process on the same port would receive some of the connections.
    ("grpc.so_reuseport", 0),
]

# Metadata of a peer stream that goes through a proxy (`raftctl serve --peer-proxy`).
SENDER_KEY = "raft-sender"
"""Identity of the node that opens the stream."""
RECEIVER_KEY = "raft-receiver"
"""Identity of the receiving node."""
ADDRESS_KEY = "raft-receiver-address"
"""HOST:PORT at which the receiving node accepts connections."""
