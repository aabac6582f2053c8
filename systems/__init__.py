"""Other Rafts under this testbed, each behind an adapter that keeps docs/reference/contract.md."""
