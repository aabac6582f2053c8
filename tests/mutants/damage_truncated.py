"""Any damage at the end of the log is taken for a torn write and truncated, with acknowledged entries."""

from raft_pkg.storage._segment import SegmentReader
from raft_testbed.mutation import rewrite

rewrite(SegmentReader.torn_bytes, "is_torn(...)", "True")
