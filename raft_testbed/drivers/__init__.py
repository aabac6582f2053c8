"""Drivers: how the testbed reaches a deployed cluster. Each implements the protocols of `raft_testbed.nemesis.cluster`.

`open.open_cluster` chooses the driver. A driver for another platform is a module here, a class like
`local.LocalProcesses`, and a case in `open_cluster`.
"""
