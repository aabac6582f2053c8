"""What a node says in the metadata of its stream when it reaches other nodes through a proxy (`--peer-proxy`)."""

SENDER_KEY = "raft-sender"
"""Identity of the node that opens the stream."""
RECEIVER_KEY = "raft-receiver"
"""Identity of the node that it is for."""
ADDRESS_KEY = "raft-receiver-address"
"""HOST:PORT at which that node takes connections."""
