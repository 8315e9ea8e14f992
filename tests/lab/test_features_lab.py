"""The view of features in a real JupyterLab: streaming, clicks, names and notes, cards that the kernel finds."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

TEACHING = """
from interp_widgets import show_features, teaching
model = teaching.load()
prompts = [pair.clean for pair in teaching.prompts("ioi", n=40)]
view = show_features(
    model, "When Mary and John went to the store, John gave a drink to", "neurons", layer=1, corpus=prompts
)
view
"""

GATED = """
from interp_widgets import FeatureView
from tests import made_features as made
from tests.lab.gate import Gate

gate = Gate()
view = FeatureView(gate.let_through(made.steps(made.result(), batches=6)))
view
"""


@pytest.fixture(scope="module")
def lab(jupyterlab):
    notebook = jupyterlab.open("features.ipynb", TEACHING)
    notebook.run_all()
    return notebook


def test_the_card_of_the_latent_that_leads_is_found_by_the_kernel(lab):
    expect(lab.page.locator(".iw-card")).to_contain_text("Promotes")
    expect(lab.page.locator(".iw-examples li")).to_have_count(10)
    shown = lab.page.locator(".iw-card-number").inner_text().split()[1]
    assert lab.value("[*view.result.cards]") == [int(shown)]


def test_every_token_has_the_room_of_its_text(lab):
    """The view is made before it is in the page, where no font is known."""
    beyond = "ts => ts.filter(t => t.scrollWidth > t.clientWidth + 1 || t.clientWidth > t.scrollWidth + 6).length"
    assert lab.page.locator(".iw-strip-text").evaluate_all(beyond) == 0


def test_a_click_arrives_in_python_and_python_moves_the_page(lab):
    row = lab.page.locator(".iw-row").nth(2)
    latent = int(row.get_attribute("data-latent"))
    row.click()
    expect(lab.page.locator(".iw-card-number")).to_have_text(f"Neuron {latent}")
    lab.page.locator(".iw-tok[data-token='3']").click()
    expect(lab.page.locator(".iw-tok[data-token='3']")).to_have_attribute("aria-selected", "true")
    lab.page.wait_for_function("() => document.querySelectorAll('.iw-examples li').length === 10")
    lab.comes_to("view.selected", {"latent": latent, "token": 3})
    lab.kernel("view.selected = {'latent': 7, 'token': None}; view.pinned = [5, 9]; view.sort = 'density'")
    expect(lab.page.locator(".iw-card-number")).to_have_text("Neuron 7")
    expect(lab.page.locator(".iw-strip-name")).to_have_text(["5", "9"])
    expect(lab.page.locator("[data-sort=density]")).to_have_attribute("aria-checked", "true")


def test_the_dial_is_turned_by_key_and_the_kernel_answers(lab):
    lab.kernel("view.selected = {'latent': 7, 'token': None}")
    expect(lab.page.locator(".iw-card-number")).to_have_text("Neuron 7")
    lab.page.locator(".iw-dial select").select_option("ablate")
    slider = lab.page.locator(".iw-dial input")
    slider.focus()
    slider.press("Home")
    slider.press("End")
    sides = lab.page.locator(".iw-dial-sides")
    expect(sides).to_be_visible()
    expect(lab.page.locator(".iw-dial-reading")).to_have_attribute("aria-busy", "false")
    lab.comes_to("[view.dial[name] for name in ('latent', 'mode', 'strength')]", [7, "ablate", 1])
    turned = lab.value("view.dial")
    again = float(lab.kernel("print(view.turn(7, mode='ablate', strength=1.0).kl)"))
    assert turned["kl"] == pytest.approx(again, abs=1e-6)
    expect(sides).to_contain_text(turned["before"][0]["label"])


def test_what_is_typed_is_saved_with_the_result_and_edits_no_notebook(lab):
    lab.kernel("view.selected = {'latent': 7, 'token': None}")
    name = lab.page.locator(".iw-card-name")
    expect(lab.page.locator(".iw-card-number")).to_have_text("Neuron 7")
    name.fill("dd <b>added</b> xx")
    name.press("Enter")
    note = lab.page.locator(".iw-card textarea")
    note.click()
    lab.page.keyboard.type("dd\nsecond line")
    note.blur()
    lab.page.wait_for_function("() => document.querySelector('.iw-card textarea').value.includes('second')")
    written = [[[7, "dd <b>added</b> xx"]], [[7, "dd\nsecond line"]]]
    lab.comes_to("[[*view.result.names.items()], [*view.result.notes.items()]]", written)
    for focused in (".iw-strip", ".iw-list", "[data-action=table]"):
        lab.page.locator(focused).focus()
        lab.page.keyboard.press("d")
        lab.page.keyboard.press("d")
        expect(lab.page.locator(".iw-view")).to_be_visible()


def test_a_saved_notebook_shows_its_features_again_after_a_reload(lab):
    lab.kernel("view.selected = {'latent': 7, 'token': 2}; view.notes = {7: 'kept'}")
    expect(lab.page.locator(".iw-tok[data-token='2']")).to_have_attribute("aria-selected", "true")
    lab.page.evaluate("window.jupyterapp.commands.execute('docmanager:save').then(() => null)")
    lab.page.reload()
    expect(lab.page.locator(".iw-view[data-ready=true]").first).to_be_visible()
    expect(lab.page.locator(".iw-card-number").first).to_have_text("Neuron 7")
    expect(lab.page.locator(".iw-card textarea").first).to_have_value("kept")
    expect(lab.page.locator(".iw-tok[data-token='2']").first).to_have_attribute("aria-selected", "true")


@pytest.fixture(scope="module")
def gated(jupyterlab):
    return jupyterlab.open("streaming_features.ipynb", GATED)


@pytest.fixture
def streaming(gated):
    gated.run_all()
    yield gated
    gated.kernel("view.close(); gate.open = 99")
    expect(gated.page.locator(".iw-view")).to_have_count(0)


def test_tokens_stream_while_other_cells_run_and_the_result_finishes_the_rest(streaming):
    unread = streaming.page.locator(".iw-tok-unread")
    expect(unread).to_have_count(13)
    streaming.kernel("gate.open = 3")
    expect(unread).to_have_count(13 - 3 * 13 // 6)
    assert streaming.kernel("print(view.job.state)") == "running"
    streaming.kernel("gate.open = 99")
    assert streaming.kernel("print(view.result.complete, view.job.state)") == "True done"
    expect(unread).to_have_count(0)


def test_cancel_keeps_what_was_read(streaming):
    streaming.kernel("gate.open = 2")
    expect(streaming.page.locator(".iw-tok-unread")).to_have_count(13 - 2 * 13 // 6)
    streaming.page.locator("button.iw-cancel").click()
    expect(streaming.page.locator(".iw-job")).to_contain_text("Cancelled")
    assert streaming.kernel("print(view.job.state, int(view.result.computed.sum()))") == f"cancelled {2 * 13 // 6}"
