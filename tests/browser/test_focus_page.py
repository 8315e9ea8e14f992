"""Exported views keep the focus where the reader left it when a key makes their lists again."""

from __future__ import annotations

import pytest

from interp_widgets.views.attention_heads import AttentionView
from interp_widgets.views.attribution import AttributionView
from interp_widgets.views.head_circuits import HeadCircuitView
from interp_widgets.views.patching_grid import PatchingGrid
from interp_widgets.views.probe_grid import ProbeView
from interp_widgets.views.residual_map import ProjectionView
from tests import made, made_attribution, made_circuits
from tests.made_attention import attention, scores
from tests.made_probes import probes
from tests.made_projection import projection

WHERE = "() => document.activeElement.closest('.iw-view, body').className"


def attributions():
    return AttributionView(made_attribution.result(made_attribution.PROMPTS, parts=True))


CASES = {
    "attention": (lambda: AttentionView(attention(), scores=scores()), {}, ".iw-lists button"),
    "circuits": (lambda: HeadCircuitView(made_circuits.result()), {}, ".iw-findings button"),
    "points": (lambda: ProjectionView(projection()), {"color_by": "label"}, ".iw-kind"),
    "attribution": (attributions, {"selected": {"site": "z", "layer": 2, "head": 1}}, ".iw-card [data-prompt]"),
    "probes": (lambda: ProbeView(probes()), {"selected": {"layer": 2, "pos": 1}}, ".iw-clear"),
    "patching": (lambda: PatchingGrid(made.result()), {}, ".iw-readout .iw-link"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_key_leaves_the_focus_in_the_view(open_page, tmp_path, case):
    make, state, button = CASES[case]
    view = make()
    for name, value in state.items():
        setattr(view, name, value)
    page = open_page(view.to_html(tmp_path / "view.html"))
    page.wait_for_selector(".iw-view[data-ready=true]")
    pressed = page.locator(button).nth(1 if page.locator(button).count() > 1 else 0).element_handle()
    pressed.focus()
    page.keyboard.press("Enter")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert not pressed.evaluate("e => e.isConnected && !e.closest('[hidden]')"), "the press makes the list again"
    assert page.evaluate(WHERE) == "iw-view"
