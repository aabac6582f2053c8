"""The seeded simulator: the very same node, log and state machine in a hostile world, in virtual time.

`world.run` is one run: same seed and options, same run, to the byte. `runner` spreads seeds over processes.
"""
