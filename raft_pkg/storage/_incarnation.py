"""The number by which a node that lost its disk is told from the one it was before."""

import secrets


def random_incarnation() -> int:
    """Not 0, and below 2**63. Nobody can guess it, and no two disks ever draw the same one."""
    return secrets.randbelow((1 << 63) - 1) + 1
