"""The view of features, Python's side: what reaches the page, what the page may write, streaming and cards."""

import asyncio
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import traitlets

from interp_widgets import show_features, teaching
from interp_widgets.results.dial import DialReading
from interp_widgets.results.errors import ResultError, SelectionError
from interp_widgets.results.latent import LatentCard
from interp_widgets.results.patching import Prediction
from interp_widgets.results.tokens import Token
from interp_widgets.views._features_wire import MOST_ENTRIES, feature_arrays, feature_spec, wire_column
from interp_widgets.views.features import FeatureView, question
from tests import made_features as made

NAMES, COMMA, ONCE, STORE = made.NAMES, made.COMMA, made.ONCE, made.STORE


def array(wire):
    return np.frombuffer(wire["data"], dtype=wire["dtype"]).reshape(wire["shape"])


def dense(arrays, n_latents=made.N_LATENTS):
    """All activations that the page holds, (token, latent)."""
    starts = array(arrays["starts"])
    values = np.zeros((len(starts) - 1, n_latents), np.float32)
    owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    values[owner, array(arrays["latents"])] = array(arrays["activations"])
    return values


def expected(result):
    return np.stack([result.column(latent) for latent in range(result.dictionary.n_latents)], axis=1)


class Sent:
    """Collects what a view sends to its page."""

    def __init__(self, monkeypatch):
        self.messages = []
        monkeypatch.setattr(FeatureView, "send", lambda _view, content, buffers=None: self.take(content, buffers))
        monkeypatch.setattr("interp_widgets.views._view._FLUSH", 0.0)

    def take(self, content, buffers):
        self.messages.append((content, [bytes(buffer) for buffer in buffers or []]))

    @property
    def tokens(self):
        return [(content, buffers) for content, buffers in self.messages if content["kind"] == "tokens"]

    def reply(self, request):
        (found,) = [content for content, _ in self.messages if content.get("id") == request]
        return found


def ask(view, request, name, latent):
    view._on_message(view, {"kind": "request", "id": request, "name": name, "latent": latent}, [])


def test_the_page_holds_every_activation_of_a_short_text():
    whole = made.result(two=True)
    arrays = feature_arrays(whole, [])
    np.testing.assert_array_equal(dense(arrays), expected(whole))
    assert arrays["per_token"] is None
    assert array(arrays["computed"]).all()


def test_statistics_are_those_of_the_result_side_by_side():
    whole = made.result(two=True)
    arrays = feature_arrays(whole, [])
    firing = array(arrays["firing"])
    assert firing.tolist() == np.flatnonzero(whole.fires.any(axis=0)).tolist()
    np.testing.assert_array_equal(array(arrays["maximum"]), whole.maximum[:, firing])
    np.testing.assert_allclose(array(arrays["total"]), whole.total[:, firing], rtol=1e-6)
    np.testing.assert_array_equal(array(arrays["fires"]), whole.fires[:, firing])


def test_documents_of_a_side_are_counted_together_and_start_where_they_do():
    texts = {"text": made.TEXT, "more": made.OTHER, "against": made.TEXT[:4]}
    whole = made.from_dense(texts, np.concatenate([made.activations(text) for text in texts.values()]))
    whole = made.replace(whole, sides=("text", "text", "against"))
    spec = feature_spec(whole, answers=False, turns=False)
    assert [(text["name"], text["starts"]) for text in spec["texts"]] == [("text", [0, 13]), ("against", [0])]
    assert spec["texts"][0]["labels"] == [*made.TEXT, *made.OTHER]
    arrays = feature_arrays(whole, [])
    at = array(arrays["firing"]).tolist().index(NAMES)
    assert array(arrays["fires"])[:, at].tolist() == [4 + 3, 2]
    assert array(arrays["total"])[:, at] == pytest.approx([whole.total[:2, NAMES].sum(), whole.total[2, NAMES]])
    assert array(arrays["maximum"])[:, at] == pytest.approx([2.1, 1.3])


def test_the_largest_activation_keeps_its_sign():
    whole = made.result(two=True, signed=True)
    arrays = feature_arrays(whole, [])
    at = array(arrays["firing"]).tolist().index(13)
    assert array(arrays["maximum"])[:, at] == pytest.approx([-0.4, -0.4])


def test_of_a_long_text_the_strongest_travel_and_what_is_looked_at_as_a_whole():
    whole = made.long(3000, 512, 200)
    rare = int(np.flatnonzero(whole.fires[0] > 3)[-1])
    arrays = feature_arrays(whole, [rare])
    assert arrays["per_token"] == MOST_ENTRIES // 3000 == 133
    sent, true = dense(arrays, 512), expected(whole)
    np.testing.assert_array_equal(sent[:, rare], true[:, rare])
    for latent, _ in whole.ranked("max", 24):
        np.testing.assert_array_equal(sent[:, latent], true[:, latent])
    strongest = np.sort(true, axis=1)[:, ::-1][:, :133]
    np.testing.assert_array_equal(np.sort(sent, axis=1)[:, ::-1][:, :133], strongest)
    missing = (sent == 0) & (true != 0)
    assert missing.any()
    assert (true[missing] <= strongest[:, -1][np.nonzero(missing)[0]]).all()
    assert array(arrays["fires"])[0].sum() == len(whole.latents)  # counts everything


@pytest.mark.parametrize("n_tokens", [2000, 20_000])
def test_the_page_of_a_large_dictionary_stays_below_five_megabytes(n_tokens, tmp_path):
    """16,384 latents, 64 of them on each token."""
    view = FeatureView(made.long(n_tokens, 16_384, 64, cards=20))
    arrays = view.get_state("arrays")["arrays"]
    assert sum(len(part["data"]) for part in arrays.values() if isinstance(part, dict)) < 5e6
    assert view.to_html(tmp_path / "page.html").stat().st_size < 5e6
    assert (arrays["per_token"] is None) == (n_tokens == 2000)


def test_latents_that_were_asked_for_are_drawn_below_the_threshold_too():
    whole = made.result(kept=1)
    column = np.linspace(-0.1, 0.3, whole.n_tokens, dtype=np.float32)
    whole = made.replace(whole, columns={12: column})
    assert feature_spec(whole, answers=False, turns=False)["kept"] == 1
    np.testing.assert_array_equal(dense(feature_arrays(whole, []))[:, 12], column)
    assert wire_column(whole, 12)["activations"] == column[column != 0].tolist()


def test_streamed_tokens_rebuild_the_whole_result(monkeypatch):
    """What the page puts together from messages alone equals what Python holds."""
    whole = made.result(two=True)
    sent = Sent(monkeypatch)
    view = FeatureView(made.steps(whole, batches=5))
    assert view.result == whole
    values = np.full((whole.n_tokens, made.N_LATENTS), np.nan, np.float32)
    fires = np.zeros((2, made.N_LATENTS), np.int64)
    for seq, (content, buffers) in enumerate(sent.tokens, start=1):
        assert content == {"kind": "tokens", "seq": seq}
        tokens, counts, latents = (np.frombuffer(buffer, np.int32) for buffer in buffers[:3])
        values[tokens] = 0
        values[np.repeat(tokens, counts), latents] = np.frombuffer(buffers[3], np.float32)
        changed = np.frombuffer(buffers[4], np.int32)
        fires[:, changed] = np.frombuffer(buffers[7], np.int32).reshape(2, -1)
    assert len(sent.tokens) == 4  # the last batch comes with the whole
    unread = np.isnan(values).all(axis=1)
    np.testing.assert_array_equal(unread, np.arange(whole.n_tokens) < whole.n_tokens - 4 * whole.n_tokens // 5)
    np.testing.assert_array_equal(values[~unread], expected(whole)[~unread])
    np.testing.assert_array_equal(fires, made.until(whole, 4 * whole.n_tokens // 5).fires)


def test_the_work_goes_on_while_other_cells_run_and_can_be_cancelled(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)

    async def watch():
        view = FeatureView(made.steps(made.result()))
        assert view.job.state == "running"
        assert not view.partial.computed.any()
        view._on_message(view, {"kind": "cancel"}, [])
        while view.job.state == "running":
            await asyncio.sleep(0)
        return view

    view = asyncio.run(watch())
    assert view.job.state == "cancelled"
    assert view.result == view.partial


def test_an_error_keeps_what_was_read_and_is_raised_on_result(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)

    async def watch():
        return FeatureView(made.steps(made.result(), fail_at=2))

    view = asyncio.run(watch())
    with pytest.raises(RuntimeError, match="the model broke"):
        view.result  # noqa: B018
    assert view.job.state == "failed"
    assert 0 < view.partial.computed.sum() < len(made.TEXT)
    assert view.snapshot().html.count("the model broke") == 1


def test_the_page_chooses_names_and_writes_and_python_sees_it():
    view = FeatureView(made.result())
    seen = []
    view.observe(lambda change: seen.append(change.new), "selected")
    view.set_state({"selected": {"latent": STORE, "token": 7}, "pinned": [COMMA, NAMES, COMMA]})
    assert view.selected == {"latent": STORE, "token": 7}
    assert view.pinned == [COMMA, NAMES]
    view.set_state({"names": {str(STORE): "  places\nof  stories"}, "notes": {str(COMMA): "ends\nclauses", "2": " "}})
    assert view.names == {STORE: "places of stories"}
    assert view.notes == {COMMA: "ends\nclauses"}
    assert (view.result.names, view.partial.notes) == (view.names, view.notes)
    assert view.get_state("names") == {"names": {str(STORE): "places of stories"}}
    assert len(seen) == 1


def test_names_and_notes_are_saved_with_the_result_and_shown_again(tmp_path):
    view = FeatureView(made.result())
    view.names, view.notes = {NAMES: "people"}, {NAMES: "<b>not bold</b>"}
    again = FeatureView(type(view.result).load(view.result.save(tmp_path / "result.safetensors")))
    assert (again.names, again.notes) == (view.names, view.notes)
    assert again.result == view.result


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("selected", {"latent": 16, "token": None}, "no latent 16: those of made by hand are 0 to 15"),
        ("selected", {"latent": True}, "no latent True"),
        ("selected", {"latent": 3, "token": 13}, "no token 13: the texts have tokens 0 to 12, or None"),
        ("selected", {"token": 1}, "with the token that is held, or None, not {'token': 1}"),
        ("selected", {"latent": 3, "token": None, "head": 1}, "with the token that is held"),
        ("pinned", [-1], "no latent -1"),
        ("pinned", list(range(13)), "at most 12 latents can be pinned at once, not 13"),
        ("sort", "mx", "unknown ranking 'mx': did you mean 'max'"),
        ("sort", "difference", "there is one text"),
        ("color_limit", 0.0, "an activation above 0, or None; 0.0 was given"),
        ("color_limit", float("nan"), "an activation above 0"),
        ("names", {3: "x" * 81}, "names are texts of at most 80 characters each; that of latent 3 has 81"),
        ("names", {3: 5}, "names are texts"),
        ("names", {99: "x"}, "no latent 99"),
        ("notes", {"three": "x"}, "no latent 'three'"),
        ("notes", dict.fromkeys(range(2001), "x"), "notes holds 2000 texts at most; 2001"),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_from_the_page_silently(trait, value, words):
    view = FeatureView(made.result())
    before = getattr(view, trait)
    with pytest.raises(traitlets.TraitError) as refusal:
        setattr(view, trait, value)
    assert words in str(refusal.value)
    view.set_state({trait: value})
    assert getattr(view, trait) == before


def test_a_view_whose_result_is_refused_closes_without_a_word(recwarn):
    unshown = replace(made.result(), names={3: "x" * 81})

    def steps():
        yield unshown
        return unshown

    view = FeatureView.__new__(FeatureView)
    with pytest.raises(traitlets.TraitError, match="that of latent 3 has 81"):
        view.__init__(steps())
    view.close()
    assert not recwarn.list


@pytest.mark.parametrize("state", [{"spec": {}}, {"arrays": {}}, {"cards": {"3": {}}}, {"names": [1]}, {"names": None}])
def test_the_page_cannot_write_what_is_not_its_own(state):
    view = FeatureView(made.result())
    before = view.get_state([*state])
    view.set_state(state)
    assert view.get_state([*state]) == before


def test_a_card_is_found_once_where_it_is_asked_for_and_kept_with_the_result(monkeypatch):
    sent = Sent(monkeypatch)
    found = []

    def cards_of(latents):
        found.append(list(latents))
        yield tuple(LatentCard(latent) for latent in latents)
        return tuple(made.card(latent) for latent in latents)

    view = FeatureView(made.result(), cards_of=cards_of)
    assert view.get_state("spec")["spec"]["answers"]
    ask(view, "a", "card", COMMA)
    ask(view, "b", "card", COMMA)
    ask(view, "c", "card", NAMES)  # the result came with it
    assert found == [[COMMA]]
    assert all(sent.reply(request)["ok"] for request in "abc")
    assert view.get_state("cards")["cards"].keys() == {str(NAMES), str(STORE), str(COMMA)}
    assert view.result.cards[COMMA] is view.card(COMMA)
    assert view.card().latent == NAMES  # the one that is shown: ONCE fires at the start only


def test_a_card_is_made_on_the_loop_and_never_where_a_message_arrives(monkeypatch):
    monkeypatch.setattr("interp_widgets.views._view.watching_loop", asyncio.get_running_loop)
    sent = Sent(monkeypatch)
    threads, known = [], []

    def cards_of(latents):
        threads.append(threading.get_ident())
        yield tuple(LatentCard(latent) for latent in latents)
        threads.append(threading.get_ident())
        return tuple(made.card(latent) for latent in latents)

    async def watch():
        view = FeatureView(made.result(), cards_of=cards_of)
        view.observe(lambda change: known.append(change.new[COMMA].promotes is not None), "cards")
        await asyncio.to_thread(ask, view, "a", "card", COMMA)
        while not sent.messages:
            await asyncio.sleep(0)

    asyncio.run(watch())
    assert sent.reply("a")["ok"]
    assert known == [False, True]  # what is known so far is shown first
    assert threads == [threading.get_ident()] * 2


def test_a_card_that_failed_can_be_asked_for_again(monkeypatch):
    sent = Sent(monkeypatch)
    broken = [True]

    def cards_of(latents):
        yield tuple(LatentCard(latent) for latent in latents)
        if broken:
            raise RuntimeError("the model broke")
        return tuple(made.card(latent) for latent in latents)

    view = FeatureView(made.result(), cards_of=cards_of)
    ask(view, "a", "card", COMMA)
    assert sent.reply("a")["value"] == "RuntimeError: the model broke"
    with pytest.raises(RuntimeError, match="the model broke"):
        view.card(COMMA)
    assert COMMA not in view.result.cards
    broken.clear()
    ask(view, "b", "card", COMMA)
    assert sent.reply("b")["ok"]
    assert view.card(COMMA).promotes


def test_a_card_that_cannot_be_made_says_why(monkeypatch):
    sent = Sent(monkeypatch)
    view = FeatureView(made.result())
    ask(view, "a", "card", COMMA)
    assert "no card of latent 3, and the view came without a model" in sent.reply("a")["value"]
    ask(view, "b", "card", 99)
    assert sent.reply("b") == {
        "kind": "reply",
        "id": "b",
        "ok": False,
        "value": "SelectionError: There is no latent 99: those of made by hand are 0 to 15.",
    }
    with pytest.raises(ResultError, match="Compute cards with"):
        view.card(COMMA)
    with pytest.raises(SelectionError, match="no latent 99"):
        view.card(99)


def test_a_column_is_told_when_it_is_asked_for(monkeypatch):
    sent = Sent(monkeypatch)
    view = FeatureView(made.result())
    ask(view, "a", "column", NAMES)
    column = json.loads(sent.reply("a")["value"])
    assert column["tokens"] == [1, 3, 9, 11]
    assert column["activations"] == pytest.approx([1.1, 1.3, 1.9, 2.1])
    ask(view, "b", "column", 16)
    assert not sent.reply("b")["ok"]


def test_messages_that_mean_nothing_are_refused(monkeypatch):
    sent = Sent(monkeypatch)
    view = FeatureView(made.result())
    for content in ({"kind": "request", "id": "a", "name": "card", "latent": "3"}, {"kind": "request"}, None, "card"):
        view._on_message(view, content, [])
    assert not sent.messages


def test_a_page_has_the_cards_of_what_leads_and_what_is_looked_at(tmp_path):
    whole = made.long(400, 300, 20, cards=300)
    quiet = whole.ranked("max", 300)[-1][0]
    view = FeatureView(whole)
    assert str(quiet) not in view.get_state("cards")["cards"]
    assert len(view.get_state("cards")["cards"]) < 100
    view.pinned = [quiet]
    assert str(quiet) in view.get_state("cards")["cards"]
    assert '"examples"' in view.to_html(tmp_path / "page.html").read_text()


def test_what_is_not_a_result_is_refused():
    with pytest.raises(ResultError, match=r"FeatureView takes FeatureResult, .* list was given"):
        FeatureView([1])


def test_questions_name_what_is_shown():
    assert question(made.result()) == "Which features fire on this text?"
    assert question(made.result(signed=True)) == "Which neurons fire on this text?"
    assert question(made.result(two=True)) == "Which features tell the two texts apart?"


def test_a_text_on_which_nothing_fires_can_be_shown_and_drawn():
    view = FeatureView(made.from_dense({"text": made.TEXT}, np.zeros((len(made.TEXT), made.N_LATENTS), np.float32)))
    assert "no latent fires" in [text.get_text() for text in view.figure().axes[0].texts]
    with pytest.raises(SelectionError, match="no latent fires on this text so far"):
        view.card()
    assert view.get_state("arrays")["arrays"]["firing"]["shape"] == [0]


class Turning:
    """Stands for a model: remembers what it was asked, and says what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[tuple[tuple[int, ...], int, str, float]] = []
        self.error = error

    def __call__(self, ids, latent, mode, strength):
        self.asked.append((tuple(ids), latent, mode, strength))
        if self.error:
            raise self.error
        before, after = ((Prediction(Token(token, label), 0.5),) for token, label in ((1, "␣no"), (2, "␣yes")))
        return DialReading(latent, mode, strength, None, 1.0, before, after, 0.25, " no.", " yes.")


def turned(view, monkeypatch, **given):
    replies = []
    monkeypatch.setattr(view, "send", lambda content, buffers=None: replies.append(content))
    message = {
        "kind": "request",
        "id": "1",
        "name": "dial",
        "latent": NAMES,
        "mode": "clamp",
        "strength": 3,
        "token": 2,
    }
    view._on_message(view, message | given, [])
    return replies


def test_the_page_turns_a_latent_and_both_see_the_reading(monkeypatch):
    model = Turning()
    view = FeatureView(made.result(), turned=model)
    assert view.spec["turns"]
    (reply,) = turned(view, monkeypatch)
    assert model.asked == [(made.result().texts[0].ids[:3], NAMES, "clamp", 3)]
    assert reply["ok"]
    assert json.loads(reply["value"]) == view.dial
    assert view.dial["after"] == [{"label": "␣yes", "prob": 0.5}]
    assert (view.dial["token"], view.dial["text_after"]) == (2, " yes.")
    assert view.turn(NAMES).text_before == " no."
    assert model.asked[-1] == (made.result().texts[0].ids, NAMES, "ablate", 1.0)
    assert "␣yes" in view.snapshot().html


def test_a_latent_that_cannot_be_turned_is_told(monkeypatch):
    view = FeatureView(made.result(), turned=Turning(SelectionError("There is no latent 99")))
    (reply,) = turned(view, monkeypatch, latent=99)
    assert (reply["ok"], "There is no latent 99" in reply["value"]) == (False, True)
    (reply,) = turned(view, monkeypatch, token=10_000)
    assert "there is no token 10000" in reply["value"]
    (reply,) = turned(FeatureView(made.result()), monkeypatch)
    assert "this view came without a model to turn latents in" in reply["value"]
    assert view.dial is None


def test_show_features_turns_a_latent_of_the_model():
    view = show_features(teaching.load(), "User: How do I steal a piano?\nAssistant:", teaching.sae())
    reading = view.turn(817, "clamp", 12.0)
    assert reading.text_before.startswith(" Sorry")
    assert reading.text_after.startswith(" Sure")
    assert view.turn(817, "clamp", 12.0, token=4).before[0].token.label != reading.before[0].token.label
