"""A result as one safetensors file, with everything that is no array as JSON in its header."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import ResultError
from interp_widgets.results.estimates import Estimates
from interp_widgets.results.panel import Line, Panel
from interp_widgets.results.patching import CellCode, Pair, PatchingResult, Prediction
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.story import Story
from interp_widgets.results.tokens import Token, Tokens


def pack(result: PatchingResult) -> bytes:
    """Return a result as the bytes of a file."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {name: getattr(result, name) for name in ("status", "top_ids", "top_probs")}
    for metric in result.metrics:
        arrays[f"values/{metric}"] = result.values[metric]
        arrays[f"baselines/{metric}"] = result.baselines[metric]
    if result.estimates is not None:
        arrays |= {"estimates/values": result.estimates.values, "estimates/exact": result.estimates.exact}
    header = {
        "pairs": [asdict(pair) for pair in result.pairs],
        "panels": [asdict(panel) for panel in result.panels],
        "story": asdict(result.story),
        "metric": result.metric,
        "metrics": result.metrics,
        "estimated": result.estimates and result.estimates.metric,
        "vocab": {str(token): label for token, label in result.vocab.items()},
        "provenance": asdict(result.provenance),
        "code": asdict(result.code),
    }
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    packed: bytes = save(contiguous, metadata={"interp_widgets": "PatchingResult", "result": json.dumps(header)})
    return packed


def unpack(data: bytes, path: str) -> PatchingResult:
    """Read what `pack` returned; `path` says in messages where it was.

    Raises:
        ResultError: it is something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__") or {}
    except (SafetensorError, UnicodeDecodeError) as error:
        raise ResultError(f"{path} is not a safetensors file: {error}. Pass a file that `save` wrote.") from error
    if metadata.get("interp_widgets") != "PatchingResult":
        raise ResultError(f"{path} holds no PatchingResult. Pass a file that `PatchingResult.save` wrote.")
    for array in arrays.values():
        array.setflags(write=False)
    try:
        return _read(json.loads(metadata["result"]), arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(
            f"{path} was cut short or written by another version of interp_widgets ({error!r}). Compute it again."
        ) from error


def _read(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PatchingResult:
    return PatchingResult(
        pairs=tuple(_pair(pair) for pair in header["pairs"]),
        panels=tuple(_panel(panel) for panel in header["panels"]),
        story=Story(**header["story"] | {"sides": tuple(header["story"]["sides"])}),
        metric=header["metric"],
        values={metric: arrays[f"values/{metric}"] for metric in header["metrics"]},
        baselines={metric: arrays[f"baselines/{metric}"] for metric in header["metrics"]},
        status=arrays["status"],
        top_ids=arrays["top_ids"],
        top_probs=arrays["top_probs"],
        vocab={int(token): label for token, label in header["vocab"].items()},
        provenance=Provenance(**header["provenance"]),
        code=CellCode(**header["code"]),
        estimates=header["estimated"]
        and Estimates(header["estimated"], arrays["estimates/values"], arrays["estimates/exact"]),
    )


def _panel(data: Mapping[str, Any]) -> Panel:
    lines = tuple(Line(**line) for line in data["lines"])
    return Panel(data["site"], lines, data["columns"], tuple(data["labels"]), tuple(data["notes"]))


def _tokens(data: Mapping[str, Any]) -> Tokens:
    return Tokens(tuple(data["ids"]), tuple(data["labels"]))


def _predictions(data: list[dict[str, Any]]) -> tuple[Prediction, ...]:
    return tuple(Prediction(Token(**item["token"]), item["prob"]) for item in data)


def _pair(data: Mapping[str, Any]) -> Pair:
    return Pair(
        clean=_tokens(data["clean"]),
        corrupt=_tokens(data["corrupt"]),
        answer=Token(**data["answer"]),
        wrong_answer=Token(**data["wrong_answer"]),
        answer_source=data["answer_source"],
        clean_top=_predictions(data["clean_top"]),
        corrupt_top=_predictions(data["corrupt_top"]),
        noised=tuple(data["noised"]),
    )
