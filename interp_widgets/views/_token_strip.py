"""Text as tokens with a number at each: the wire of the page's token strip, for any view that shows text."""

from __future__ import annotations

from collections.abc import Iterable

from interp_widgets.results.tokens import Tokens
from interp_widgets.views.protocol import WireText, WireValues


def wire_text(name: str, tokens: Tokens) -> WireText:
    """Describe a text whose numbers travel elsewhere."""
    return {"name": name, "labels": list(tokens.labels)}


def wire_values(tokens: Tokens, values: Iterable[float], peak: int) -> WireValues:
    """Describe a short stretch of text with its numbers."""
    return {"labels": list(tokens.labels), "values": [float(value) for value in values], "peak": peak}
