"""Views that Jupyter saved with a notebook."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from copy import copy
from typing import Any

_STATE = "application/vnd.jupyter.widget-state+json"


def saved_views(metadata: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The state of every view of this package in a notebook's metadata, by model id, with its buffers in place."""
    models = metadata.get("widgets", {}).get(_STATE, {}).get("state", {})
    return {
        model_id: _with_buffers(model["state"], model.get("buffers", []))
        for model_id, model in models.items()
        if str(model["state"].get("_anywidget_id", "")).startswith("interp_widgets.")
    }


def _with_buffers(state: Mapping[str, Any], buffers: list[dict[str, Any]]) -> dict[str, Any]:
    restored = dict(state)
    for buffer in buffers:
        *path, last = buffer["path"]
        holder: Any = restored
        for key in path:
            holder[key] = copy(holder[key])  # the notebook's own state stays as it is
            holder = holder[key]
        holder[last] = base64.b64decode(buffer["data"])
    return restored
