"""What clients and servers take for granted about sessions (dissertation §6.3)."""

SESSION_TTL_SECONDS = 600.0
"""A session ends when log time has passed its last command by so much, unless the server is set otherwise.

Deadlines of operations are seconds: whoever has waited for so long has given up long ago.
"""
SESSION_RESPONSES_MAX = 32 * 1024
"""Of so many commands a session may have the outcomes recorded; one more ends it.

Twice what a client has in flight on its stream: one command that is put off does not hold up the others at once.
"""
SESSION_RESPONSE_BYTES_MAX = 16 * 1024 * 1024
"""The next command ends a session whose recorded outcomes have reached so many bytes."""
