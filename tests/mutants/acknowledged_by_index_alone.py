"""A command completes when the entry of another leader is applied at its index."""

from raft_pkg.server.proposals import Proposals
from raft_testbed.mutation import rewrite

rewrite(Proposals._note_applied_term, "self._fail_lost_entries()", "")
rewrite(
    Proposals.entry_applied,
    "self._pending_entries.pop((entry.index, entry.term), None)",
    "next((self._pending_entries.pop(p) for p in list(self._pending_entries) if p[0] == entry.index), None)",
)
rewrite(
    Proposals._complete_applied,
    "raise InvariantError(...)",
    "applied = [*applied, *[Applied(b'', self._applier.index)] * count][:count]",
)
