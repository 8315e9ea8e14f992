"""What people call latents and write about them, in a small file of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import Any

from interp_widgets.results.dictionary import DictionaryInfo
from interp_widgets.results.errors import ResultError, SelectionError, unknown_name

_WRITTEN_BY = "Concepts"

LONGEST = {"names": 80, "notes": 4000}
"""Most characters of one, as a view has room for."""


@dataclass(frozen=True)
class Concepts:
    """Names and notes of the latents of one dictionary. Nothing here changes: each method returns new concepts.

    A file of them is JSON that a person can read and edit, and that goes into version control.

    Example:
        >>> from interp_widgets.results.concepts import Concepts
        >>> concepts = Concepts("my SAE", fingerprint="5f0c", n_latents=64).named(7, "a city").noted(7, "not Rome")
        >>> concepts.names, concepts.notes, concepts.latent("a city")
        ({7: 'a city'}, {7: 'not Rome'}, 7)
    """

    dictionary: str
    """Name of the dictionary, for readers."""
    fingerprint: str
    """What tells the dictionary apart from others: that of `DictionaryInfo`."""
    n_latents: int
    names: Mapping[int, str] = field(default_factory=dict)
    notes: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for which in ("names", "notes"):
            texts: Mapping[int, str] = getattr(self, which)
            if not isinstance(texts, Mapping):
                raise ResultError(
                    f'{which} is a {type(texts).__name__}. Pass texts by latent, such as {{7: "a city"}}.'
                )
            for latent, text in texts.items():
                self._check(latent)
                if not isinstance(text, str):
                    raise ResultError(f"{which} holds {text!r} for latent {latent}. Pass text.")
                if len(text) > LONGEST[which]:
                    raise ResultError(
                        f"The {which[:-1]} of latent {latent} has {len(text)} characters, and views have room for "
                        f"{LONGEST[which]}. Shorten it."
                    )
            # Sorted, and without the empty ones, so that the same concepts make the same file.
            object.__setattr__(self, which, {int(latent): texts[latent] for latent in sorted(texts) if texts[latent]})

    @classmethod
    def of(cls, info: DictionaryInfo, names: Mapping[int, str] | None = None) -> Concepts:
        """Begin the concepts of a dictionary, which `dictionary.info` describes.

        Raises:
            SelectionError: a name for a latent that it does not have.
        """
        return cls(info.name, info.fingerprint, info.n_latents, names or {})

    def __len__(self) -> int:
        return len(self.names.keys() | self.notes.keys())

    def named(self, latent: int, name: str) -> Concepts:
        """Give a latent a name, in place of the one that it has; an empty one takes it away.

        Raises:
            SelectionError: there is no such latent.
        """
        return replace(self, names={**self.names, latent: name.strip()})

    def noted(self, latent: int, note: str) -> Concepts:
        """Write a note about a latent, in place of the one that it has; an empty one takes it away.

        Raises:
            SelectionError: there is no such latent.
        """
        return replace(self, notes={**self.notes, latent: note.strip()})

    def latent(self, name: str) -> int:
        """Return the latent of that name, the first if there are several.

        Raises:
            UnknownNameError: no latent is called so.
        """
        for latent, given in self.names.items():
            if given == name:
                return latent
        raise unknown_name("concept", name, self.names.values())

    def merged(self, other: Concepts) -> Concepts:
        """Add the concepts of another file; where both say something, the other counts.

        Raises:
            ResultError: they are about another dictionary.
        """
        self._check_same(other.dictionary, other.fingerprint)
        return replace(self, names={**self.names, **other.names}, notes={**self.notes, **other.notes})

    def check(self, info: DictionaryInfo) -> None:
        """Refuse a dictionary that these concepts are not about.

        Raises:
            ResultError: it has other weights.
        """
        self._check_same(info.name, info.fingerprint)

    def save(self, path: str | Path) -> None:
        """Write a JSON file."""
        latents = sorted(self.names.keys() | self.notes.keys())
        concepts = {
            str(latent): {
                kind: texts[latent] for kind, texts in (("name", self.names), ("note", self.notes)) if latent in texts
            }
            for latent in latents
        }
        content = {
            "interp_widgets": _WRITTEN_BY,
            "dictionary": self.dictionary,
            "fingerprint": self.fingerprint,
            "n_latents": self.n_latents,
            "concepts": concepts,
        }
        Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Concepts:
        """Read a file that `save` wrote.

        Raises:
            ResultError: it is something else.
        """
        if not Path(path).is_file():
            raise ResultError(f"there is no file {path}. Pass a file that `Concepts.save` wrote.")
        try:
            content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ResultError(f"{path} is no JSON file: {error}. Pass a file that `Concepts.save` wrote.") from error
        if not isinstance(content, dict) or content.get("interp_widgets") != _WRITTEN_BY:
            raise ResultError(f"{path} holds no concepts. Pass a file that `Concepts.save` wrote.")
        try:
            concepts = {int(latent): dict(texts) for latent, texts in content["concepts"].items()}
            return cls(
                str(content["dictionary"]),
                str(content["fingerprint"]),
                int(content["n_latents"]),
                *({n: str(texts[kind]) for n, texts in concepts.items() if kind in texts} for kind in ("name", "note")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ResultError(
                f"{path} was edited into something that cannot be read, or written by another version of "
                f"interp_widgets ({error!r})."
            ) from error

    def _check_same(self, dictionary: str, fingerprint: str) -> None:
        if fingerprint != self.fingerprint:
            raise ResultError(
                f"These concepts are about {self.dictionary} with the fingerprint {self.fingerprint}, and not about "
                f"{dictionary} with {fingerprint}: the same numbers mean other latents there. Open the dictionary that "
                "they were written for."
            )

    def _check(self, latent: Any) -> None:
        whole = isinstance(latent, Integral) and not isinstance(latent, bool)
        if not (whole and 0 <= latent < self.n_latents):
            raise SelectionError(
                f"There is no latent {latent!r}: those of {self.dictionary} are 0 to {self.n_latents - 1}."
            )
