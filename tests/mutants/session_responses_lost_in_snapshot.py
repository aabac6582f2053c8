"""A snapshot has the sessions without their responses, so repeats are applied again."""

from raft_pkg.server.sessions import SessionedMachine
from raft_testbed.mutation import rewrite

rewrite(SessionedMachine.snapshot, "len(session.responses)", "0")
rewrite(SessionedMachine.snapshot, "(encoded, session.responses)", "(encoded, {})")
