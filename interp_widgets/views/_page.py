"""A view as one page: the same code as live, its state inside, and a strict policy that lets nothing else in."""

from __future__ import annotations

import base64
import html
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_HOST = Path(__file__).parent.parent / "static" / "host.js"
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' blob: data:; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)

# The frame tells its height as it lays itself out; where scripts of outputs are off it keeps a fair one. What a view in
# it says to linked ones is passed on to the other frames.
_AROUND = (
    "frame => addEventListener('message', ({source, data}) => { if (source !== frame.contentWindow) return; "
    "if (data?.type === 'iw-height') frame.style.height = Math.ceil(data.height) + 'px'; "
    "if (data?.type === 'iw-link') for (const other of document.querySelectorAll('iframe.iw-snapshot')) "
    "if (other !== frame) other.contentWindow.postMessage(data, '*'); })"
)


class Snapshot:
    """A frozen view: shows in notebooks and pages without kernel and network, and still answers.

    It sits in a sandboxed frame, so it cannot touch the page around it. Linked views hear each other through that page.
    """

    def __init__(self, page: str) -> None:
        self.html = page
        """The page itself."""

    def _repr_html_(self) -> str:
        return (
            '<iframe class="iw-snapshot" sandbox="allow-scripts allow-downloads" title="interactive view" '
            'loading="lazy" style="width:100%;height:620px;border:0;display:block" '
            f'srcdoc="{html.escape(self.html)}"></iframe>'
            f"<script>({_AROUND})(document.currentScript.previousElementSibling)</script>"
        )


@dataclass(frozen=True)
class Frozen:
    """A view at rest: its synchronised state, in which binary values may sit anywhere, and the module that draws it."""

    state: Mapping[str, Any]
    bundle: str


def page(view: Frozen, *, title: str, opened: Mapping[str, Frozen] | None = None) -> str:
    """Build the page of a view.

    Args:
        view: the view.
        title: plain text for the window's title.
        opened: views that were opened from it, or from one of them, by the ids of their models.
    """
    buffers: list[str] = []
    others = opened or {}
    bundles = [*dict.fromkeys([view.bundle, *(other.bundle for other in others.values())])]
    content = {
        "state": _without_buffers(view.state, buffers),
        "others": {
            model: {"state": _without_buffers(other.state, buffers), "bundle": bundles.index(other.bundle)}
            for model, other in others.items()
        },
        "buffers": buffers,
    }
    # `<` would let token text end the script element; as an escape it means the same to a JSON parser.
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    modules = "\n".join(f'<script type="text/plain" class="iw-bundle">{_inline(bundle)}</script>' for bundle in bundles)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n</head>\n<body>\n<main id="iw-root"></main>\n'
        f'<script type="application/json" id="iw-state">{text}</script>\n'
        f"{modules}\n<script>{_inline(_host())}</script>\n</body>\n</html>\n"
    )


def _without_buffers(value: Any, buffers: list[str]) -> Any:
    """Replace binary values by references to `buffers`, which holds them deflated, and what JSON lacks by null."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        buffers.append(base64.b64encode(zlib.compress(value, 9)).decode())
        return {"$buffer": len(buffers) - 1}
    if isinstance(value, Mapping):
        return {key: _without_buffers(item, buffers) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_buffers(item, buffers) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@cache
def _host() -> str:
    return _HOST.read_text(encoding="utf-8")


def _inline(script: str) -> str:
    return script.replace("</script", "<\\/script")
