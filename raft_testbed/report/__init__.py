"""A run as a page that people look at (docs/reference/report.md). Needs the extra `report`: bokeh and junitparser."""
