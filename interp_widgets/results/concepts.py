"""What people call latents, in a small file of its own: it can be read, edited and passed on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from interp_widgets.results.dictionary import DictionaryInfo
from interp_widgets.results.errors import ResultError

Words = Mapping[int, str]


def write_concepts(path: str | Path, dictionary: DictionaryInfo, names: Words, notes: Words) -> Path:
    """Write names and notes of latents as JSON, with the dictionary that they belong to.

    Raises:
        ResultError: the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ResultError(f"there is no folder {path.parent} to save into. Make it first.")
    latents = {
        str(latent): {kind: words[latent] for kind, words in (("name", names), ("note", notes)) if latent in words}
        for latent in sorted({*names, *notes})
    }
    belongs = {"name": dictionary.name, "fingerprint": dictionary.fingerprint}
    text = json.dumps({"dictionary": belongs, "latents": latents}, indent=2, ensure_ascii=False)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path


def read_concepts(path: str | Path, dictionary: DictionaryInfo) -> tuple[dict[int, str], dict[int, str]]:
    """Read the names and the notes of latents that `write_concepts` wrote.

    Raises:
        ResultError: no such file, or names of another dictionary's latents.
    """
    path = Path(path)
    if not path.is_file():
        raise ResultError(f"there is no file {path}. Pass one that `save_concepts` wrote.")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        belongs, latents = data["dictionary"], data["latents"]
        found = tuple(
            {int(latent): str(said[kind]) for latent, said in latents.items() if kind in said}
            for kind in ("name", "note")
        )
        name, fingerprint = belongs["name"], belongs["fingerprint"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{path} holds no names of latents ({error!r}). Pass one that `save_concepts` wrote."
        ) from error
    if fingerprint != dictionary.fingerprint:
        raise ResultError(
            f"{path} names latents of {name}, whose weights (fingerprint {fingerprint}) are not those of "
            f"{dictionary.name} ({dictionary.fingerprint}): the same number is another latent there."
        )
    names, notes = found
    beyond = [latent for latent in (*names, *notes) if not 0 <= latent < dictionary.n_latents]
    if beyond:
        raise ResultError(f"{path} names latent {beyond[0]}, but they run from 0 to {dictionary.n_latents - 1}.")
    return names, notes
