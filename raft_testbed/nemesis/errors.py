"""The errors of the nemesis and of its drivers."""


class NemesisError(Exception):
    """Base of these errors."""


class CommandError(NemesisError):
    """A command failed or timed out. The message holds the command and its output."""


class TargetError(NemesisError):
    """A selector chooses no node. The message says why."""


class FaultError(NemesisError):
    """A fault can't be injected or healed. The message says what was observed."""
