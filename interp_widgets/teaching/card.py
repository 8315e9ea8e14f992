"""The model card: which measured figures are claimed, as JSON for tests and as a page for people.

The page is ``card_template.md`` with the figures filled in, so that no number on it is typed by hand.

    python -m interp_widgets.teaching.card      # write the page again, after a change of the template
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from typing import Any, Final

from .data import CARD, CARD_PAGE
from .measure.figure import Figure

TEMPLATE: Final = CARD.with_name("card_template.md")

CLAIMS: Final = (
    ("ioi.*accuracy", None),
    ("ioi.*logit_difference", None),
    ("facts.*.accuracy", None),
    ("greater_than.*_mass", None),
    ("refusal.*.accuracy", None),
    ("induction*accuracy", None),
    ("*.held_out.accuracy", None),
    ("pairs.*", None),
    ("induction.previous_token.*", 0.4),
    ("induction.prefix_matching.*", 0.4),
    ("ioi.name_mover*", None),
    ("ioi.attention.*", 0.25),
    ("ioi.head_share.*", 0.1),
    ("facts.*.stream.*.L[1-3]", None),
    ("facts.*.mlp.subject_last.L0", None),
    ("facts.*.attention.END.*", None),
    ("greater_than.head_share.*", 0.1),
    ("greater_than.attention.*", 0.4),
    ("refusal.direction.L[1-3].*", None),
    ("probe.*", None),
)
"""Patterns of figures that are claimed, and from which value on: of the heads, only those that do something."""


def claimed(figures: Iterable[Figure]) -> list[Figure]:
    """The figures that go on the card, in their order."""
    return [
        figure
        for figure in figures
        if any(fnmatch(figure.name, pattern) and (bar is None or figure.value >= bar) for pattern, bar in CLAIMS)
    ]


def make(
    figures: Mapping[str, Figure],
    *,
    counts: Mapping[str, int],
    compared: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The card as data: counts such as the seed and the steps, how the seed was chosen, and every claimed figure."""
    return {**counts, "compared": list(compared), "figures": listed(claimed(figures.values()))}


def listed(figures: Iterable[Figure]) -> list[dict[str, Any]]:
    """Figures as data."""
    return [{"name": f.name, "value": round(f.value, 4), "tolerance": f.tolerance, "how": f.how} for f in figures]


def write(data: Mapping[str, Any]) -> None:
    """Write ``card.json`` and the page."""
    CARD.write_text(json.dumps(data, indent=1) + "\n")
    CARD_PAGE.write_text(page(data))


def read() -> dict[str, Any]:
    """The card that is shipped."""
    data: dict[str, Any] = json.loads(CARD.read_text())
    return data


def page(data: Mapping[str, Any]) -> str:
    """The page for people."""
    return filled(TEMPLATE.read_text(), data)


def filled(template: str, data: Mapping[str, Any]) -> str:
    """A page: ``{{name}}`` in its template is a figure or a count, ``{{table:topic}}`` the figures of a topic."""
    values = {figure["name"]: figure["value"] for figure in data["figures"]}

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("table:"):
            return _table([f for f in data["figures"] if fnmatch(f["name"], name.removeprefix("table:"))])
        if name == "compared":
            return _compared(data["compared"])
        if name in values:
            return f"{values[name]:.2f}"
        return f"{data[name]:,}"

    return re.sub(r"\{\{([^}]+)\}\}", fill, template)


def _table(figures: Sequence[Mapping[str, Any]]) -> str:
    rows = [f"| `{f['name']}` | {f['value']:.3f} | {f['tolerance']:g} | {f['how']} |" for f in figures]
    return "\n".join(["| figure | value | ± | how |", "|---|---|---|---|", *rows])


def _compared(candidates: Sequence[Mapping[str, Any]]) -> str:
    names = list(candidates[0]["marks"])
    rows = [
        f"| {each['seed']} | "
        + " | ".join(f"{each['marks'][name]:.2f}" for name in names)
        + f" | {', '.join(each['behaviours_below_floor']) or 'none'} |"
        for each in candidates
    ]
    head = f"| seed | {' | '.join(names)} | behaviours below their floor |"
    return "\n".join([head, "|---" * (len(names) + 2) + "|", *rows])


if __name__ == "__main__":
    write(read())
