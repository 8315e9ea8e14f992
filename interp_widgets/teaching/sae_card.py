"""The card of the SAE that ships, made as the model's is: figures as JSON for tests, and a page for people.

python -m interp_widgets.teaching.sae_card      # write the page again, after a change of the template
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from . import card
from .data import CARD
from .measure.concepts import CONCEPTS
from .measure.figure import Figure

SAE_CARD: Final = CARD.with_name("sae_card.json")
SAE_PAGE: Final = CARD.with_name("SAE_CARD.md")
TEMPLATE: Final = CARD.with_name("sae_card_template.md")


def make(figures: Iterable[Figure], counts: Mapping[str, Any]) -> dict[str, Any]:
    """The card as data: counts such as the number of latents, the named latents, and every figure."""
    return {**counts, "figures": card.listed(figures)}


def write(data: Mapping[str, Any]) -> None:
    """Write ``sae_card.json`` and the page."""
    SAE_CARD.write_text(json.dumps(data, indent=1) + "\n")
    SAE_PAGE.write_text(page(data))


def read() -> dict[str, Any]:
    """The card that is shipped."""
    data: dict[str, Any] = json.loads(SAE_CARD.read_text())
    return data


def page(data: Mapping[str, Any]) -> str:
    """The page for people. ``{{named}}`` in its template is the table of named latents."""
    return card.filled(TEMPLATE.read_text().replace("{{named}}", _named(data)), data)


def _named(data: Mapping[str, Any]) -> str:
    names = {concept.key: concept.name for concept in CONCEPTS}
    rows = [
        f"| {each['latent']} | {names[each['concept']]} | {each['threshold']:g} | "
        f"{{{{sae.latent.{each['concept']}.precision}}}} | {{{{sae.latent.{each['concept']}.recall}}}} |"
        for each in data["named"]
    ]
    return "\n".join(["| latent | means | above | precision | recall |", "|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    write(read())
