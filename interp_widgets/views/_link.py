"""Views that share where the reader is."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

import anywidget
import traitlets

from interp_widgets.results.errors import SelectionError, unknown_name
from interp_widgets.views.protocol.common import Spot, WireLink

SHARED = ("site", "layer", "head", "pos", "token", "latent", "neuron")
"""What can be shared, in the words of `selected`."""


class Linked(anywidget.AnyWidget):
    """A view that can share where the reader is with others."""

    links: list[WireLink] = traitlets.List(help="The groups of views that share where the reader is; see `link`.").tag(  # type: ignore[assignment]
        sync=True
    )

    _shares: tuple[str, ...] = ()
    """The keys of `selected` that other views understand; of those that `Spot` has."""

    def _spot(self) -> Spot | None:
        """The selected place, for views that are linked to this one; None where nothing is selected."""
        selected: Mapping[str, Any] | None = getattr(self, "selected", None)
        if selected is None:
            return None
        return cast("Spot", {key: selected[key] for key in self._shares if selected.get(key) is not None})

    def _go(self, spot: Spot) -> bool:
        """Select a place that was selected elsewhere, as far as this view has it; False where it has nothing there.

        What the place does not say stays as it is selected.
        """
        known = {key: value for key, value in spot.items() if key in self._shares}
        try:
            self.set_trait("selected", {**(getattr(self, "selected", None) or {}), **known})
        except traitlets.TraitError:
            return False
        return bool(known)

    def _let_go(self) -> None:
        """Select nothing."""
        self.set_trait("selected", None)

    def _words(self, pos: int) -> Sequence[str]:
        """The tokens at a position as people read them, that of each prompt; none where there is no such position."""
        return ()


class Link:
    """Views that share selection and hover, until `close()`.

    Attributes:
        views: the views.
        by: what of a place they share.
    """

    def __init__(self, views: Sequence[Linked], by: Sequence[str], *, same_tokens: bool, empties: bool = True) -> None:
        """Link views; `link` says how.

        Args:
            views: at least two.
            by: keys of `selected`.
            same_tokens: whether a position is shared only where both views have the same token.
            empties: whether selecting nothing is shared too.
        """
        self.views = tuple(views)
        self.by = tuple(by)
        self._carrying = False
        self._wire: WireLink = {
            "group": uuid.uuid4().hex,
            "by": [*by],
            "same_tokens": same_tokens,
            "empties": empties,
        }
        for view in self.views:
            view.links = [*view.links, self._wire]
            view.observe(self._carry, "selected")

    def close(self) -> None:
        """Part the views. What is selected in each stays."""
        for view in self.views:
            if self._wire in view.links:
                view.unobserve(self._carry, "selected")
                view.links = [link for link in view.links if link != self._wire]

    def __repr__(self) -> str:
        return f"Link({', '.join(type(view).__name__ for view in self.views)}, by {', '.join(self.by)})"

    def _carry(self, change: Mapping[str, Any]) -> None:
        """Select in the other views what was selected in one; what they select then goes no further."""
        if self._carrying:
            return
        self._carrying = True
        try:
            source = change["owner"]
            for view in self.views:
                if view is not source and not _waits(view):
                    self._take(source, view)
        finally:
            self._carrying = False

    def _take(self, source: Linked, target: Linked) -> None:
        spot = source._spot()
        here = target._spot()
        if spot is None:
            if here is not None and self._wire["empties"]:
                target._let_go()
            return
        known = {key: value for key, value in spot.items() if key in self.by and key in target._shares}
        if "pos" in known and self._wire["same_tokens"] and not _agree(source, target, spot["pos"]):
            del known["pos"]
        if known and known.items() - (here or {}).items():
            target._go(cast("Spot", known))


def link(*views: Linked, by: Sequence[str] | None = None) -> Link:
    """Let views share what is selected in them and where the pointer is: a click in one selects in all.

    A place is carried over as far as the other view has it: of a head's cell, a view of layers and positions takes the
    layer. Selecting nothing in one selects nothing in all.

    Boxes of ipywidgets put views side by side: `HBox([view_a, view_b])`, each with `view.layout.flex = "1 1 0"` to take
    half of the width.

    Args:
        views: two or more views, such as those of `show_patching` and `show_lens`.
        by: what they share, out of "site", "layer", "head", "pos", "token", "latent" and "neuron". By default all of
            it, positions only where both views have the same token: of a pair of prompts either may have it.
            Positions that are named here are shared whatever the tokens are.

    Returns:
        The link. Its `close()` parts the views.

    Raises:
        SelectionError: fewer than two views, one of them twice, or views that have nothing of it in common.
        UnknownNameError: `by` names what cannot be shared.

    Example:
        >>> from interp_widgets import link, show_patching, teaching
        >>> model, pair = teaching.load(), teaching.prompts("ioi")[0]
        >>> streams = show_patching(model, pair.clean, pair.corrupt)
        >>> heads = show_patching(model, pair.clean, pair.corrupt, sites="z")
        >>> together = link(streams, heads)
        >>> heads.selected = {"site": "z", "layer": 2, "head": 3}
        >>> streams.selected = {"site": "resid_pre", "layer": 1, "pos": 4}
        >>> heads.selected
        {'site': 'z', 'layer': 1, 'head': 3}
        >>> together.close()
    """
    for view in views:
        if not isinstance(view, Linked):
            raise SelectionError(
                f"link takes views, such as that of show_patching, not {type(view).__name__}. "
                "Widgets of other packages are linked by traitlets.link."
            )
    if len(views) < 2 or len({id(view) for view in views}) < len(views):
        raise SelectionError(f"link takes two or more different views; {len(views)} were given: link(view_a, view_b).")
    for key in by or ():
        if key not in SHARED:
            raise unknown_name("key", key, SHARED)
    keys = SHARED if by is None else tuple(dict.fromkeys(by))
    for view in views:
        if not any(set(keys) & set(view._shares) & set(other._shares) for other in views if other is not view):
            raise SelectionError(_nothing_in_common(views, keys))
    return Link(views, keys, same_tokens=by is None)


def _waits(view: Linked) -> bool:
    """Whether there is nothing to select in a view yet, since no result has come from a server."""
    job: Any = getattr(view, "job", None)
    return job is not None and job.partial is None


def _agree(source: Linked, target: Linked, pos: int) -> bool:
    """Whether two views have the same token at a position, as far as both have a text."""
    words = [set(view._words(pos)) for view in (source, target)]
    return not all(words) or bool(words[0] & words[1])


def _nothing_in_common(views: Sequence[Linked], keys: Sequence[str]) -> str:
    shares = [f"{type(view).__name__} has {', '.join(view._shares) or 'none of it'}" for view in views]
    return f"these views have nothing to share by {', '.join(keys)}: {'; '.join(dict.fromkeys(shares))}."
