"""Tests of a deployed testbed from outside; they need site.yml to have run."""
