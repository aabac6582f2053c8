"""What holds for all tests."""

from hypothesis import settings

# The same examples every time, and no deadline: a busy machine is no failure, and a failure comes again.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
