"""Bokeh plots in a self-contained HTML file: the plots as JSON, and the script that renders them."""

import json

from bokeh.embed.util import OutputDocumentFor, standalone_docs_json_and_render_items
from bokeh.plotting import figure
from bokeh.resources import Resources


def embedded(elements: dict[str, figure]) -> str:
    """Return all plots, by the id of their HTML element, as one JSON document that is safe in a script element."""
    if not elements:
        return "null"
    plots = list(elements.values())
    with OutputDocumentFor(plots):
        documents, (item,) = standalone_docs_json_and_render_items(plots)
        roots = {plot.id: element for element, plot in elements.items()}
        content = {"documents": documents, "items": [{**item.to_json(), "roots": roots}]}
    return json.dumps(content).replace("<", "\\u003c")


def library() -> str:
    """Return the script that renders the plots in a browser."""
    script: str = Resources(mode="inline", components=["bokeh"]).js_raw[0]
    return script
