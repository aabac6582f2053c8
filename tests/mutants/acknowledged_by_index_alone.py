"""A waiter is told that its command is done when another leader's entry is applied at its index."""

from raft_pkg.server.node import Node
from raft_testbed.mutation import rewrite

rewrite(Node._note_applied_term, "self._refuse_lost_entries()", "")
rewrite(
    Node._apply,
    "self._pending_entries.pop((entry.index, entry.term), None)",
    "next((self._pending_entries.pop(p) for p in list(self._pending_entries) if p[0] == entry.index), None)",
)
rewrite(
    Node._settle_applied,
    "raise InvariantError(...)",
    "applied = [*applied, *[Applied(b'', self.applied_index)] * count][:count]",
)
