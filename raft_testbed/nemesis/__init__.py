"""The nemesis: faults that the testbed injects into a running cluster.

Every fault is a subclass of `fault.Fault` and is listed in `catalogue.CATALOGUE`. `nemesis.inject` and `nemesis.heal`
run one. A fault reaches the cluster through the protocols of `cluster`, which the drivers implement
(`raft_testbed.drivers`); a fault whose capability a driver lacks is skipped, with the driver's reason.
"""
