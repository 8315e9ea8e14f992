"""What the latents of a dictionary are called."""

from __future__ import annotations

from collections.abc import Mapping

from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.results.concepts import Concepts


def concepts_of(dictionary: Dictionary, names: Mapping[int, str] | Concepts | None) -> Concepts:
    """Return names and notes: those that a dictionary comes with, and in front of them a reader's own.

    Raises:
        SelectionError: a name for a latent that it does not have.
        ResultError: concepts that are about another dictionary.
    """
    own = dictionary.concepts or Concepts.of(dictionary.info)
    return own.merged(names if isinstance(names, Concepts) else Concepts.of(dictionary.info, names))
