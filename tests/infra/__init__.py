"""The running testbed, looked at from outside; run after site.yml."""
