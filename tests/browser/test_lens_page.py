"""The exported view of a lens: cells, pointer, keyboard, trajectories, two prompts, long prompts, table, downloads."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.results.tokens import Tokens
from interp_widgets.views.lens_table import LensView
from tests import made_lens as made
from tests.browser.conftest import Grid, save, violations


@pytest.fixture
def open_lens(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_lens(result=None, *, width=1200, scheme="light", **state):
        view = LensView(result or made.result())
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "view.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_lens


def paint(grid, row, pos, right=4.0, down=4.0):
    """The colour of a cell near its upper left corner, where no text stands."""
    spot = grid.spot(row, pos)
    at = [spot["x"] - grid.data["cellW"] / 2 + right, spot["y"] - grid.data["cellH"] / 2 + down]
    return grid.canvas.evaluate(
        "(c, [x, y]) => { const s = c.width / c.getBoundingClientRect().width;"
        " return [...c.getContext('2d').getImageData(x * s, y * s, 1, 1).data].slice(0, 3); }",
        at,
    )


def redness(grid, row, pos):
    red, _, blue = paint(grid, row, pos)
    return red - blue


def test_cells_are_coloured_by_what_is_chosen_and_read_out_under_the_pointer(open_lens):
    whole = made.result()
    page = open_lens(whole)
    grid = Grid(page, "prompt")
    cells = [(row, pos) for row in range(5) for pos in range(6)]
    shown = np.array([redness(grid, row, pos) for row, pos in cells], float)
    assert np.corrcoef(shown, whole.top_probs[0, :, :, 0].ravel())[0, 1] > 0.9
    grid.hover(3, 2)
    panel = page.locator(".iw-lens-cell")
    expect(panel).to_contain_text("after attention of layer 1 at ␣and position 2")
    best = whole.top(0, 3, 2)
    said = [text.strip() for text in panel.locator(".iw-lens-top .iw-token").all_inner_texts()]
    assert said[:3] == [token.label for token, _ in best]
    expect(panel).to_contain_text(f"{best[0][1]:.2f}")
    expect(panel).to_contain_text("In the prompt follows ␣John.")
    page.mouse.move(5, 5)
    expect(panel).to_contain_text("after layer 1 at ␣to position 5")
    page.get_by_role("radio", name="␣John", exact=True).click()
    page.locator("[data-metric=rank]").click()
    expect(page.locator(".iw-lens-legend")).to_contain_text("rank of ␣John")
    ranks = whole.value("rank", 1)[0]
    shown = np.array([redness(grid, row, pos) for row, pos in cells], float)
    assert np.corrcoef(shown, -np.log1p(ranks.ravel()))[0, 1] > 0.9
    page.get_by_role("radio", name="layers").click()
    grid = Grid(page, "prompt")
    assert page.locator(".iw-grid").get_attribute("aria-rowcount") == "3"
    grid.hover(1, 0)
    expect(panel).to_contain_text("after layer 0 at When")


def test_a_bar_marks_the_token_that_follows(open_lens):
    said = made.logits()
    said[0, 4, 1, 2] += 9  # after ␣Mary comes ␣and
    said[0, 4, 2, 7] += 9  # after ␣and comes ␣John, which it does not say
    page = open_lens(made.from_logits(said))
    grid = Grid(page, "prompt")

    def has_bar(pos):
        return paint(grid, 4, pos, right=10, down=grid.data["cellH"] - 1.8) != paint(grid, 4, pos)

    assert has_bar(1)
    assert not has_bar(2)


def test_keys_move_select_and_pin_and_a_screen_reader_hears_the_cell(open_lens):
    page = open_lens()
    plot = page.locator(".iw-grid")
    plot.focus()
    cell = plot.get_by_role("gridcell")
    expect(cell).to_contain_text("after layer 1 at ␣to, position 5: ␣Mary")
    plot.press("ArrowLeft")
    plot.press("ArrowDown")
    expect(cell).to_contain_text("after attention of layer 1 at ␣gave, position 4: ␣to")
    expect(cell).to_contain_text("which follows in the prompt")
    plot.press("Enter")
    expect(page.locator(".iw-tok[aria-selected=true]")).to_have_attribute("data-token", "4")
    plot.press("p")
    lines = page.locator(".iw-lens-legend-list li")
    expect(lines.first).to_contain_text("␣Mary after gave (4)")
    expect(lines.first.get_by_role("button")).to_have_attribute("aria-pressed", "true")
    plot.press("Home")
    expect(lines).to_have_count(3)  # the pinned one, and both tokens here
    expect(lines.nth(1)).to_contain_text("␣Mary after When (0)")
    lines.nth(2).get_by_role("button").click()
    expect(page.locator(".iw-lens-legend-list [aria-pressed=true]")).to_have_count(2)
    expect(page.locator(".iw-lens-pin").nth(2)).to_be_focused()  # though the list was written anew
    page.locator("[data-action=code]").click()
    expect(page.locator(".iw-code pre")).to_have_count(1)


def test_the_text_chooses_the_position(open_lens):
    page = open_lens(selected={"layer": 0, "pos": 5})
    page.locator(".iw-tok[data-token='2']").click()
    page.mouse.move(5, 5)
    expect(page.locator(".iw-lens-cell")).to_contain_text("after layer 0 at ␣and position 2")
    strip = page.locator(".iw-strip")
    strip.focus()
    strip.press("ArrowRight")
    strip.press("Enter")
    expect(page.locator(".iw-lens-cell")).to_contain_text("position 3")


def test_two_prompts_stand_beside_their_difference(open_lens):
    whole = made.result(2)
    page = open_lens(whole, width=1900)
    clean, corrupt, difference = (Grid(page, site) for site in ("clean", "corrupt", "difference"))
    boxes = [grid.canvas.bounding_box() for grid in (clean, corrupt, difference)]
    assert boxes[0]["y"] == boxes[1]["y"] == boxes[2]["y"]
    cells = [(row, pos) for row in range(5) for pos in range(6)]
    shown = np.array([redness(difference, row, pos) for row, pos in cells], float)
    assert np.corrcoef(shown, whole.divergence().ravel())[0, 1] > 0.9
    page.get_by_role("radio", name="␣Mary", exact=True).click()
    page.locator("[data-metric=logit]").click()
    shown = np.array([redness(difference, row, pos) for row, pos in cells], float)
    assert np.corrcoef(shown, whole.difference("logit", 0).ravel())[0, 1] > 0.9
    expect(page.locator(".iw-lens-name").nth(2)).to_contain_text("logit, clean − corrupt")
    corrupt.hover(2, 3)
    expect(page.locator(".iw-lens-cell")).to_contain_text("after layer 0 at ␣Mary position 3 of corrupt")
    expect(page.locator(".iw-lens-legend-list li")).to_have_count(4)
    expect(page.locator(".iw-lens-legend-list li").nth(1)).to_contain_text("corrupt")


def test_a_long_prompt_zooms_to_its_words_and_every_token_is_reached(open_lens):
    page = open_lens(made.long(2000, 80))
    plot = page.locator(".iw-grid")
    grid = Grid(page, "prompt")
    assert grid.data["cellW"] < 1
    plot.focus()
    plot.press("Control+End")  # the lowest row
    expect(plot.get_by_role("gridcell")).to_contain_text("position 1999")
    for _ in range(14):
        plot.press("+")
    assert Grid(page, "prompt").data["cellW"] >= 60
    plot.press("Home")
    expect(plot.get_by_role("gridcell")).to_contain_text("position 0:")
    assert Grid(page, "prompt").data["x0"] == pytest.approx(
        float(plot.evaluate("p => p.style.getPropertyValue('--_gutter').replace('px', '')"))
    )
    plot.press("0")
    assert Grid(page, "prompt").data["cellW"] < 1


def test_unread_cells_are_marked(open_lens):
    page = open_lens(made.until(made.result(), 12))
    expect(page.locator(".iw-lens-legend")).to_contain_text("not read")
    expect(page.locator(".iw-lens-cell")).to_contain_text("Not read.")
    assert redness(Grid(page, "prompt"), 4, 4) == pytest.approx(0, abs=6)


def test_the_table_the_csv_and_the_picture_hold_what_is_shown(open_lens, tmp_path):
    whole = made.result(2)
    page = open_lens(whole, pinned=[{"pos": 1, "answer": 1}], trajectory="logprob")
    picture = matplotlib.image.imread(io.BytesIO(save(page, "save-png")))
    assert picture.shape[0] > 900
    assert len(np.unique(picture[::9, ::9].reshape(-1, picture.shape[-1]), axis=0)) > 50
    saved = list(csv.DictReader(io.StringIO(save(page, "save-csv").decode(), newline="")))
    frame = whole.to_frame()
    assert [*saved[0]] == [*frame.columns]
    assert [row["answer"] for row in saved] == frame.answer.tolist()
    assert [row["token"] for row in saved] == frame.token.tolist()
    np.testing.assert_allclose([float(row["logit"]) for row in saved], frame.logit, rtol=1e-5)
    np.testing.assert_allclose([float(row["rank"]) for row in saved], frame["rank"])
    page.locator("[data-action=table]").click()
    rows = page.locator("table.iw-table").first.locator("tbody tr")
    expect(rows).to_have_count(5)
    expect(rows.first).to_contain_text("after layer 1")
    assert violations(page) == []


EVIL = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'


def test_tokens_that_mean_harm_are_text(open_lens):
    whole = made.result()
    bad = replace(
        whole, prompts=(Tokens(made.CLEAN, (EVIL, *whole.prompts[0].labels[1:])),), vocab={**whole.vocab, 0: EVIL}
    )
    page = open_lens(bad)
    Grid(page, "prompt").hover(0, 0)
    page.locator("[data-action=table]").click()
    assert page.title() == "What would the model say after each layer?"
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (760, "light"), (1200, "dark"), (2000, "light")])
def test_nothing_is_wrong_for_assistive_technology_and_nothing_sticks_out(open_lens, width, scheme):
    page = open_lens(
        made.result(2),
        width=width,
        scheme=scheme,
        answer=0,
        selected={"layer": 0, "pos": 3},
        pinned=[{"pos": 1, "answer": 1, "prompt": 1}],
        trajectory="rank",
    )
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_short_prompt_is_seen_whole_on_a_page_of_middle_width(open_lens):
    grid = Grid(open_lens(made.long(15, 3), width=760), "prompt", ".iw-lens-panel")
    width = grid.canvas.evaluate("c => c.getBoundingClientRect().width")
    assert grid.data["x0"] >= 0
    assert grid.data["x0"] + 15 * grid.data["cellW"] <= width
