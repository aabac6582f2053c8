"""gRPC channel and server options that nodes and clients share."""

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Greatest message either side accepts, in bytes."""

_SIZES = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]

CHANNEL_OPTIONS: list[tuple[str, int]] = [
    *_SIZES,
    # A path that swallows packets shows only by silence; ping it.
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.max_pings_without_data", 0),
    # Channels to one address must not share a connection: each is closed and dialled anew by itself.
    ("grpc.use_local_subchannel_pool", 1),
    # We dial addresses that we have just looked up; a proxy knows nothing of them.
    ("grpc.enable_http_proxy", 0),
]

SERVER_OPTIONS: list[tuple[str, int]] = [
    *_SIZES,
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
    # Two processes on one port would each get a part of the connections.
    ("grpc.so_reuseport", 0),
]
