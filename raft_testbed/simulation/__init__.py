"""A deterministic simulator: the real node, log and state machine, with faults, in virtual time.

`cluster.run` runs one seed; the same seed and options give the same run, to the byte. `runner` spreads seeds over
processes. `safety` has the properties that are checked after every step.
"""
