"""Where a text stands in a tokenised prompt."""

from __future__ import annotations

from itertools import accumulate

from interp_widgets.models.labels import Labels
from interp_widgets.results.tokens import Tokens


def occurrences(text: str, tokens: Tokens, labels: Labels) -> list[tuple[int, ...]]:
    """Return the positions of each occurrence of a text: all tokens that hold any of its characters.

    They are found in what tokens add to a text, so it does not matter whether the prompt was given as text or as ids.
    """
    spelled = [labels.spelling(token) for token in tokens.ids]
    ends = list(accumulate(map(len, spelled)))
    whole, wanted = b"".join(spelled), text.encode()
    found = []
    start = whole.find(wanted)
    while start != -1:
        stop = start + len(wanted)
        found.append(
            tuple(
                position
                for position, (end, piece) in enumerate(zip(ends, spelled, strict=True))
                if end > start and end - len(piece) < stop
            )
        )
        start = whole.find(wanted, stop)
    return found
