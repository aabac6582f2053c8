"""All commands of a batch are recorded under the first sequence number, so repeats of the others are applied again."""

from raft_pkg.server.sessions import _Session
from raft_testbed.mutation import rewrite

rewrite(
    _Session.record_all,
    "enumerate(responses, batch.first_sequence)",
    "((batch.first_sequence, response) for response in responses)",
)
rewrite(_Session.record_all, "batch.first_sequence + len(responses) - 1", "batch.first_sequence")
