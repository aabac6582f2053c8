"""A run as a page that people look at (docs/report.md). Needs the extra `report`: bokeh and junitparser."""
