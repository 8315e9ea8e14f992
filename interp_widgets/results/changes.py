"""What one partial result adds to the one before, as bytes, so that a run can be followed from afar."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.provenance import Provenance


def changes(before: PatchingResult, after: PatchingResult) -> bytes:
    """Pack the cells whose status changed, and what goes with them."""
    cells = np.flatnonzero(before.status != after.status)
    words = {
        "vocab": {str(token): label for token, label in after.vocab.items() if token not in before.vocab},
        "provenance": asdict(after.provenance),
    }
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        cells=cells,
        status=after.status.reshape(-1)[cells],
        top_ids=_by_cell(after.top_ids)[cells],
        top_probs=_by_cell(after.top_probs)[cells],
        values=np.array([after.values[name].reshape(-1)[cells] for name in after.metrics]),
        words=np.frombuffer(json.dumps(words).encode(), dtype=np.uint8),
    )
    return packed.getvalue()


def changed(before: PatchingResult, packed: bytes) -> PatchingResult:
    """Return the later of two results from the earlier one and what `changes` packed."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        cells, values = arrays["cells"], arrays["values"]
        words = json.loads(arrays["words"].tobytes())
        return replace(
            before,
            status=_put(before.status, cells, arrays["status"]),
            top_ids=_put(before.top_ids, cells, arrays["top_ids"]),
            top_probs=_put(before.top_probs, cells, arrays["top_probs"]),
            values={
                name: _put(before.values[name], cells, row) for name, row in zip(before.metrics, values, strict=True)
            },
            vocab={**before.vocab, **{int(token): label for token, label in words["vocab"].items()}},
            provenance=Provenance(**words["provenance"]),
        )


def _by_cell(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, array.shape[-1])


def _put(array: NDArray[Any], cells: NDArray[np.int_], rows: NDArray[Any]) -> NDArray[Any]:
    copy: NDArray[Any] = array.copy()
    copy.reshape(-1, *rows.shape[1:])[cells] = rows
    copy.setflags(write=False)
    return copy
