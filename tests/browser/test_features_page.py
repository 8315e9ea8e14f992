"""The exported view of features: colours, pointer, keyboard, rows of pinned latents, long texts, table, downloads."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from playwright.sync_api import expect

from interp_widgets.results.tokens import Tokens
from interp_widgets.views.features import FeatureView
from tests import made_features as made
from tests.browser.conftest import save, violations

NAMES, COMMA, ONCE, STORE = made.NAMES, made.COMMA, made.ONCE, made.STORE
SHOWN = "t => getComputedStyle(t.querySelector('.iw-strip-text')).backgroundColor"


TELL = """detail => globalThis.dispatchEvent(new CustomEvent("iw-link", { detail: { from: "other", ...detail } }))"""
HEAR = """() => {
    globalThis.heard = [];
    globalThis.addEventListener("iw-link", ({ detail }) => globalThis.heard.push([detail.kind, detail.spot]));
}"""


@pytest.fixture
def open_features(open_page, tmp_path):
    """Export a result as a page and open it."""

    def open_features(result=None, *, width=1200, scheme="light", **state):
        view = FeatureView(result or made.result())
        for name, value in state.items():
            setattr(view, name, value)
        page = open_page(view.to_html(tmp_path / "view.html"), width=width, scheme=scheme)
        page.wait_for_selector(".iw-view[data-ready=true]")
        return page

    return open_features


def token(page, at, strip=0):
    return page.locator(".iw-strip").nth(strip).locator(f"[data-token='{at}']")


def rgb(page, at, strip=0):
    return [float(part) for part in token(page, at, strip).evaluate(SHOWN)[4:-1].replace("a(", "").split(",")[:3]]


def colored(page, strip=0):
    """The tokens that have a colour."""
    return (
        page.locator(".iw-strip")
        .nth(strip)
        .evaluate(
            "s => [...s.querySelectorAll('.iw-tok')].filter(t => t.firstElementChild.style.background)"
            ".map(t => Number(t.dataset.token))"
        )
    )


def latents(page, selector):
    return [int(row.get_attribute("data-latent")) for row in page.locator(selector).all()]


def test_tokens_are_coloured_by_the_latent_and_stronger_ones_more(open_features):
    page = open_features()
    assert colored(page) == [1, 3, 9, 11]
    blues = [rgb(page, at)[2] for at in (1, 3, 9, 11)]
    assert blues == sorted(blues, reverse=True)
    assert len(set(blues)) == 4
    red, _, blue = rgb(page, 11)
    assert red > blue + 100


def test_a_signed_dictionary_has_cool_colours_below_zero(open_features):
    page = open_features(made.result(signed=True), selected={"latent": 13, "token": None})
    red, _, blue = rgb(page, 1)
    assert blue > red + 60
    expect(page.locator(".iw-ticks").first).to_have_text("−0.40+0.4")


def test_pointing_ranks_the_latents_of_a_token_and_a_click_holds_it(open_features):
    page = open_features()
    token(page, 11).hover()
    panel = page.locator(".iw-token-panel")
    expect(panel).to_contain_text("position 11")
    assert latents(page, ".iw-fires [data-latent]") == [NAMES, 15]
    expect(panel).to_contain_text("2.10")
    page.mouse.move(5, 5)
    expect(panel).to_contain_text("Point at a token")
    token(page, 7).click()
    page.mouse.move(5, 5)
    expect(panel).to_contain_text("store")
    page.locator(f".iw-fires [data-latent='{STORE}']").click()
    assert colored(page) == [7]
    expect(page.locator(".iw-card-number")).to_have_text(f"Latent {STORE}")
    panel.get_by_label("let go").click()
    expect(panel).to_contain_text("Point at a token")


def test_the_list_shows_pins_sorts_and_finds(open_features):
    page = open_features(names={COMMA: "ends of clauses"})
    assert latents(page, ".iw-row")[:4] == [ONCE, NAMES, STORE, COMMA]
    page.locator("[data-sort=density]").click()
    assert latents(page, ".iw-row")[0] == NAMES
    page.locator(".iw-search").fill("clause")
    assert latents(page, ".iw-row") == [COMMA]
    page.locator(".iw-search").press("Enter")
    assert colored(page) == [8, 12]
    page.locator(".iw-search").fill("5")
    page.locator(".iw-row[data-latent='5']").click()  # silent here
    expect(page.locator(".iw-card")).to_contain_text("does not fire")
    page.locator(".iw-search").fill("")
    page.locator(f".iw-row[data-latent='{STORE}'] .iw-pin").click()
    expect(page.locator(".iw-strip-name")).to_have_text([str(STORE)])


def test_rows_of_pinned_latents_stand_below_their_tokens(open_features):
    page = open_features(pinned=[COMMA, STORE])
    bars = "t => (t.style.background.match(/linear-gradient/g) || []).length"
    # A base line for each row, and a bar where the latent fires.
    assert [token(page, at).evaluate(bars) for at in (6, 7, 8, 12)] == [2, 3, 3, 3]
    height = page.locator(".iw-strip-line").first.bounding_box()["height"]
    page.locator(".iw-row[aria-selected=true] .iw-pin").click()
    assert page.locator(".iw-strip-line").first.bounding_box()["height"] > height
    expect(page.locator(".iw-strip-name")).to_have_text([str(COMMA), str(STORE), str(NAMES)])


def test_one_scale_for_all_marks_what_lies_beyond_it(open_features):
    page = open_features(pinned=[ONCE])
    pale = rgb(page, 11)
    page.get_by_role("radio", name="all to 9").click()
    assert rgb(page, 11)[2] > 100 > 60 > 0
    assert rgb(page, 11) != pale
    page = open_features(color_limit=1.5)
    expect(page.locator(".iw-tok-beyond")).to_have_count(2)
    expect(page.locator(".iw-legend")).to_contain_text("2 tokens beyond, up to 2.10")


def test_the_card_tells_all_that_is_known_and_leads_on(open_features):
    page = open_features()
    card = page.locator(".iw-card")
    words = (
        "made by hand, 1,000 tokens",
        "density 1.2%",
        "said",
        "<b>",
        "head 1.2",
        "strongest 2.10",
        "4 of 13 tokens",
    )
    for said in words:
        expect(card).to_contain_text(said)
    assert card.locator(".iw-examples li").count() == 3
    card.get_by_role("button", name=f"latent {COMMA}").click()
    assert colored(page) == [8, 12]
    expect(card).to_contain_text("This saved page has no card of it.")


def test_names_and_notes_are_shown_in_a_saved_page_and_cannot_be_changed_there(open_features):
    page = open_features(names={NAMES: "people"}, notes={NAMES: "two\nlines"})
    expect(page.locator(".iw-card-name")).to_have_value("people")
    expect(page.locator(".iw-card textarea")).to_have_value("two\nlines")
    expect(page.locator(".iw-card-name")).not_to_be_editable()
    page.locator(f".iw-row[data-latent='{STORE}']").click()
    expect(page.locator(".iw-card textarea")).to_be_hidden()


def test_the_keyboard_reaches_everything(open_features):
    page = open_features()
    strip = page.locator(".iw-strip")
    strip.focus()
    page.keyboard.press("]")
    active = page.locator(f"[id='{strip.get_attribute('aria-activedescendant')}']")
    expect(active).to_have_attribute("aria-label", "␣Mary, position 1, latent 7 1.10")
    page.keyboard.press("Enter")
    expect(active).to_have_attribute("aria-selected", "true")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "iw-list":
            break
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.keyboard.press("p")
    last = latents(page, ".iw-row")[-1]
    expect(page.locator(".iw-strip-name")).to_have_text([str(last)])
    expect(page.locator(".iw-card-number")).to_have_text(f"Latent {last}")


def test_a_long_text_scrolls_with_few_elements_and_every_token_is_reached(open_features):
    page = open_features(made.long(20_000, 256, 4))
    strip = page.locator(".iw-strip")
    count = "document.querySelectorAll('.iw-tok').length"
    for share in (0, 0.3, 0.77, 1):
        strip.evaluate("(s, share) => { s.scrollTop = share * s.scrollHeight; }", share)
        page.wait_for_function(
            "() => { const s = document.querySelector('.iw-strip').getBoundingClientRect();"
            " const at = document.elementFromPoint(s.x + 120, s.y + s.height / 2);"
            " return at && at.closest('.iw-tok'); }"
        )
        assert page.evaluate(count) < 1500
    expect(token(page, 19_999)).to_be_visible()
    assert page.locator(".iw-strip-overview").is_visible()
    strip.focus()
    page.keyboard.press("Control+Home")
    expect(token(page, 0)).to_be_visible()


def test_the_step_buttons_bring_far_tokens_into_sight(open_features):
    whole = made.long(6000, 256, 4)
    page = open_features(whole)
    page.locator("[data-step='-1']").click()
    shown = int(page.locator(".iw-card-number").inner_text().split()[1])
    last = int(np.flatnonzero(np.nan_to_num(whole.column(shown)))[-1])
    expect(token(page, last)).to_be_in_viewport()
    expect(token(page, last)).to_have_attribute("aria-selected", "true")


def test_lines_are_in_the_order_of_the_text_after_scrolling_about(open_features):
    page = open_features(made.long(4000, 64, 4))
    strip = page.locator(".iw-strip")
    for share in (0.5, 0.45, 0.9, 0.88, 0.4, 0.42):
        strip.evaluate("(s, share) => { s.scrollTop = share * s.scrollHeight; }", share)
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    order = strip.evaluate("s => [...s.querySelectorAll('.iw-tok')].map(t => Number(t.dataset.token))")
    assert order == sorted(order)
    assert len(order) == len(set(order))


def test_a_saved_page_says_where_it_has_only_part(open_features):
    whole = made.long(3000, 512, 200)
    rare = whole.ranked("mean", 512)[-1][0]
    page = open_features(whole)
    expect(page.locator(".iw-missing")).to_be_hidden()  # what leads is here as a whole
    page.locator(".iw-search").fill(str(rare))
    page.locator(f".iw-row[data-latent='{rare}']").click()
    expect(page.locator(".iw-missing")).to_contain_text(f"fires on {whole.fires[0, rare]:,} tokens, and ")
    token(page, 3).hover()
    expect(page.locator(".iw-token-panel")).to_contain_text("weaker ones are not")


def test_unread_tokens_are_marked_and_counted(open_features):
    page = open_features(made.until(made.result(), 5))
    expect(page.locator(".iw-tok-unread")).to_have_count(8)
    expect(page.locator(".iw-legend")).to_contain_text("not read")
    token(page, 2).hover()
    expect(page.locator(".iw-token-panel")).to_contain_text("Not read.")


def test_two_texts_share_a_scale_and_mark_what_differs(open_features):
    page = open_features(made.result(two=True), sort="difference")
    assert (colored(page), colored(page, 1)) == ([1, 3, 9, 11], [1, 3, 7])
    assert rgb(page, 1) == rgb(page, 1, strip=1)
    expect(page.locator(".iw-strip").nth(1).locator(".iw-tok-marked")).to_have_count(5)
    first = page.locator(".iw-row").first
    expect(first).to_have_attribute("data-latent", str(ONCE))
    expect(first).to_contain_text("−0.21")
    token(page, 7, strip=1).hover()
    expect(page.locator(".iw-token-panel")).to_contain_text("position 7 of against")


def test_documents_start_their_own_lines_and_count_anew(open_features):
    texts = {"one": made.TEXT, "two": made.OTHER}
    whole = made.from_dense(texts, np.concatenate([made.activations(text) for text in texts.values()]))
    page = open_features(replace(whole, sides=("text", "text")))
    lines = page.locator(".iw-strip-line")
    expect(lines).to_have_count(2)
    expect(lines.nth(1).locator(".iw-strip-gutter")).to_have_text("0")
    token(page, 14).hover()
    expect(page.locator(".iw-token-panel")).to_contain_text("position 1 of text, number 1")


def test_the_table_and_the_csv_hold_the_numbers(open_features):
    whole = made.result()
    page = open_features(whole)
    page.locator("[data-action=table]").click()
    tables = page.locator("table.iw-table")
    expect(tables).to_have_count(2)
    rows = [row.inner_text().split("\t") for row in tables.nth(1).locator("tbody tr").all()]
    assert [row[0] for row in rows] == ["position 11", "position 9", "position 3", "position 1"]
    assert [float(row[2]) for row in rows] == pytest.approx([2.1, 1.9, 1.3, 1.1])
    saved = list(csv.DictReader(io.StringIO(save(page, "save-csv").decode(), newline="")))
    frame = whole.to_frame()
    assert [int(row["latent"]) for row in saved] == frame.latent.tolist()
    assert [int(row["position"]) for row in saved] == frame.position.tolist()
    assert [row["token"] for row in saved] == frame.token.tolist()
    assert np.array([row["activation"] for row in saved], np.float32).tolist() == frame.activation.tolist()


EVIL = '<img src=x onerror="document.title=\'owned\'"></script><script>document.title="owned"</script>'


def test_tokens_names_and_notes_that_mean_harm_are_text(open_features):
    whole = made.result()
    bad = Tokens(whole.texts[0].ids, (EVIL, *whole.texts[0].labels[1:]))
    card = replace(made.card(), corpus=EVIL)
    whole = replace(whole, texts=(bad,), cards={NAMES: card})
    page = open_features(whole, names={NAMES: EVIL[:80]}, notes={NAMES: EVIL}, pinned=[NAMES])
    token(page, 0).hover()
    page.locator("[data-action=table]").click()
    assert page.title() == "Which features fire on this text?"
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (760, "dark"), (1400, "light"), (1400, "dark")])
def test_nothing_is_wrong_for_assistive_technology(open_features, width, scheme):
    page = open_features(
        made.result(two=True),
        width=width,
        scheme=scheme,
        pinned=[COMMA, NAMES],
        selected={"latent": NAMES, "token": 3},
        names={NAMES: "people"},
        notes={NAMES: "a note"},
    )
    assert violations(page) == []
    page.locator("[data-action=table]").click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("width", [320, 400, 600, 940, 2000])
def test_no_token_lies_beyond_the_strip_at_any_width(open_features, width):
    page = open_features(made.long(800, 64, 4), width=width, pinned=[3])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    beyond = page.locator(".iw-strip").evaluate(
        "s => { const right = s.getBoundingClientRect().right;"
        " return [...s.querySelectorAll('.iw-tok')].filter(t => t.getBoundingClientRect().right > right).length; }"
    )
    assert beyond == 0
    squeezed = "ts => ts.filter(t => t.scrollWidth > t.clientWidth + 1).length"
    assert page.locator(".iw-strip-text").evaluate_all(squeezed) == 0


def test_a_saved_page_shows_what_turning_a_latent_did(open_features):
    dial = {
        "latent": NAMES,
        "mode": "clamp",
        "strength": 5.0,
        "token": None,
        "before": [{"label": "␣Sorry", "prob": 0.9}],
        "after": [{"label": "␣Sure", "prob": 0.7}],
        "kl": 1.25,
        "text_before": " Sorry, no.",
        "text_after": " Sure thing.",
    }
    for width, scheme in ((1200, "light"), (400, "dark")):
        page = open_features(width=width, scheme=scheme, dial=dial, selected={"latent": NAMES, "token": None})
        section = page.locator(".iw-dial")
        expect(section).to_contain_text("set to 5.00")
        expect(section).to_contain_text("… Sure thing.")
        expect(section).to_contain_text("needs the notebook's kernel")
        expect(page.locator(".iw-dial-controls")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert not violations(page)


def picture(page):
    return matplotlib.image.imread(io.BytesIO(save(page, "save-png")))


def has(image, color):
    """How many pixels have a colour."""
    return int((np.abs(image[..., :3] * 255 - np.array(color)) < 1.5).all(axis=-1).sum())


def test_the_png_has_the_colours_of_the_text(open_features):
    page = open_features(pinned=[COMMA])
    image = picture(page)
    assert image.shape[1] > 1280
    for at in (1, 3, 9, 11):
        assert has(image, rgb(page, at)) > 500
    assert has(picture(open_features()), rgb(page, 11)) > 500
    assert len(picture(open_features())) < len(image)  # without the row of the pinned latent, and its name


def test_the_png_of_a_long_text_is_a_part_of_it(open_features):
    labels = [f"␣word{n}" for n in range(20_000)]
    dense = np.zeros((len(labels), made.N_LATENTS), np.float32)
    dense[[3, 15_000], NAMES] = 1, 2
    page = open_features(made.from_dense({"text": labels}, dense), selected={"latent": NAMES, "token": None})
    strong = rgb(page, 3)
    first = picture(page)
    assert len(first) < 5000
    assert has(first, strong) > 500
    page.locator(".iw-strip").first.evaluate("s => { s.scrollTop = s.scrollHeight / 2 }")
    assert has(picture(page), strong) < 500


def test_linked_views_share_the_latent_and_the_token(open_features):
    group = {"group": "g", "by": ["latent", "pos"], "same_tokens": True, "empties": True}
    page = open_features(links=[group])
    page.evaluate(HEAR)
    token(page, 3).hover()
    token(page, 9).click()
    shown = latents(page, ".iw-row[aria-selected=true]")[0]
    word = {"latent": shown, "pos": 9, "words": ["␣John"]}
    heard = page.evaluate("globalThis.heard")
    assert ["point", {"latent": shown, "pos": 3, "words": ["␣John"]}] in heard
    assert heard[-1] == ["go", word]

    page.evaluate(TELL, {"group": "g", "kind": "point", "spot": {"pos": 1, "words": ["␣Mary"], "latent": STORE}})
    ghosts = "els => els.map(el => el.dataset.token)"
    assert page.locator(".iw-tok-ghost").evaluate_all(ghosts) == ["1"]
    assert latents(page, ".iw-row-ghost") == [STORE]
    page.evaluate(TELL, {"group": "g", "kind": "point", "spot": {"pos": 1, "words": ["␣Anna"]}})
    expect(page.locator(".iw-tok-ghost, .iw-row-ghost")).to_have_count(0)
    page.evaluate(TELL, {"group": "g", "kind": "go", "spot": {"latent": STORE, "pos": 7, "words": ["␣store"]}})
    assert latents(page, ".iw-row[aria-selected=true]") == [STORE]
    expect(token(page, 7)).to_have_attribute("aria-selected", "true")
    page.evaluate(TELL, {"group": "g", "kind": "go", "spot": {"latent": 10**6, "pos": 2, "words": ["␣and"]}})
    page.evaluate(TELL, {"group": "another", "kind": "go", "spot": {"latent": NAMES}})
    assert latents(page, ".iw-row[aria-selected=true]") == [STORE]
