"""Report on a run: one HTML file, and JUnit XML."""
