"""A probe result in the parts that a file keeps, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from interp_widgets.results.dictionary import Place
from interp_widgets.results.features_packing import tokens_of
from interp_widgets.results.probe import ProbeResult
from interp_widgets.results.probe_examples import Examples, Transfer
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.saved import Contents

_ARRAYS = (*("predicted", "margin", "scored", "controls", "folds", "groups", "separation", "top_ids", "top_logits"),)


def contents(result: ProbeResult) -> Contents:
    """Take a result apart."""
    header = {
        "classes": result.classes,
        "rows": [asdict(place) for place in result.rows],
        "positions": result.positions,
        "labels": result.labels,
        "kinds": result.kinds,
        "untested": list(result.untested.items()),
        "vocab": list(result.vocab.items()),
        "control": result.control,
        "texts": [asdict(text) for text in result.examples.texts],
        "transfers": [
            {"name": other.name, "texts": [asdict(text) for text in other.examples.texts]} for other in result.transfers
        ],
        "provenance": asdict(result.provenance),
        "code": dict(result.code),
    }
    arrays = {name: getattr(result, name) for name in _ARRAYS} | _packed("examples", result.examples)
    arrays |= {f"vectors/{row}": vectors for row, vectors in enumerate(result.vectors)}
    for number, other in enumerate(result.transfers):
        arrays |= _packed(f"transfers/{number}", other.examples)
        arrays |= {f"transfers/{number}/{name}": getattr(other, name) for name in ("predicted", "auroc")}
    return header, arrays


def of_contents(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> ProbeResult:
    """Put a result together that `contents` took apart."""
    return ProbeResult(
        examples=_unpacked(header["texts"], "examples", arrays),
        classes=tuple(header["classes"]),
        positions=tuple(header["positions"]),
        labels=tuple(header["labels"]),
        kinds=tuple(header["kinds"]),
        rows=tuple(Place(**place) for place in header["rows"]),
        **{name: arrays[name] for name in _ARRAYS},
        untested={int(column): reason for column, reason in header["untested"]},
        vectors=tuple(arrays[f"vectors/{row}"] for row in range(len(header["rows"]))),
        vocab={int(token): label for token, label in header["vocab"]},
        transfers=tuple(
            Transfer(
                other["name"],
                _unpacked(other["texts"], f"transfers/{number}", arrays),
                arrays[f"transfers/{number}/predicted"],
                arrays[f"transfers/{number}/auroc"],
            )
            for number, other in enumerate(header["transfers"])
        ),
        control=header["control"],
        provenance=Provenance(**header["provenance"]),
        code=header["code"],
    )


def _packed(name: str, examples: Examples) -> dict[str, NDArray[Any]]:
    return {f"{name}/{part}": getattr(examples, part) for part in ("text", "position", "labels")}


def _unpacked(texts: Any, name: str, arrays: Mapping[str, NDArray[Any]]) -> Examples:
    return Examples(
        tuple(map(tokens_of, texts)), *(arrays[f"{name}/{part}"] for part in ("text", "position", "labels"))
    )
