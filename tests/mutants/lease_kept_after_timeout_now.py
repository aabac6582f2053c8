"""A leader that has ordered another's election answers reads by its lease (dissertation §6.4.1)."""

from raft_pkg.core.raft import Raft
from raft_testbed.mutation import rewrite

rewrite(
    Raft._send_timeout_now,
    "        self._lease_given_up = True\n",
    "",
)
