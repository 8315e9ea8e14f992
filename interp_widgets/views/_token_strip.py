"""Text as tokens with a number at each: the wire of the page's token strip, for any view that shows text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from interp_widgets.results.tokens import Tokens
from interp_widgets.views.protocol.common import WireText, WireValues


def wire_text(name: str, documents: Sequence[Tokens]) -> WireText:
    """Describe a text of one or more documents, whose numbers travel elsewhere."""
    starts = [0, *accumulate(map(len, documents))][:-1]
    return {"name": name, "labels": [label for tokens in documents for label in tokens.labels], "starts": starts}


def wire_values(tokens: Tokens, values: Iterable[float], peak: int) -> WireValues:
    """Describe a short stretch of text with its numbers."""
    return {"labels": list(tokens.labels), "values": [float(value) for value in values], "peak": peak}
