"""Checks of `verify.yml`: what a deployed cluster and its client must have logged, and the results as files."""
