"""Latents on text, told and kept: every number is known by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import DictionaryInfo, Fit, Place
from interp_widgets.results.errors import ResultError, SelectionError, UnknownNameError
from interp_widgets.results.features import FeatureResult
from interp_widgets.results.latent import Example, Histogram, LatentCard, Link, Neighbour, Weighted
from interp_widgets.results.patching import PatchingResult
from interp_widgets.results.provenance import Provenance
from interp_widgets.results.tokens import Token, Tokens

CLEAN = Tokens((1, 2, 3), ("The", "␣cat", "␣sat"))
CORRUPT = Tokens((1, 4), ("The", "␣dog"))
PLACE = Place("resid_post", 1)
# Rows are tokens, the last two of the second text; columns are latents.
DENSE = np.array(
    [
        [0.0, 2.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 4.0],
        [0.0, 3.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [5.0, 0.0, 0.0, 0.0],
    ],
    np.float32,
)
CARD = LatentCard(
    3,
    promotes=(Weighted(Token(2, "␣cat"), 1.5),),
    suppresses=(),
    nearest=(Neighbour(1, 0.25),),
    written_at=(1, 4),
    written_by=(Link("head 0.1", (("site", "z"), ("layer", 0), ("head", 1)), -0.5), Link("biases", (), 0.1)),
    examples=(Example(4, CLEAN, 1, (0.0, 4.0, 0.0)),),
    histogram=Histogram(np.array([0.0, 0.3, 0.6], np.float32), np.array([1, 2])),
    density=0.125,
    corpus="made by hand",
)


def made(dense: np.ndarray = DENSE, computed: tuple[bool, ...] = (True,) * 5) -> FeatureResult:  # type: ignore[type-arg]
    tokens, latents = np.nonzero(dense)
    parts = dense[:3], dense[3:]
    return FeatureResult(
        texts=(CLEAN, CORRUPT),
        sides=("text", "against"),
        dictionary=DictionaryInfo("by hand", "sae", PLACE, PLACE, 4, 8, "", "0123"),
        starts=np.concatenate([[0], np.cumsum(np.bincount(tokens, minlength=5))]),
        latents=latents.astype(np.int32),
        activations=dense[tokens, latents],
        threshold=0.0,
        kept=None,
        computed=np.array(computed),
        maximum=np.stack([part[np.abs(part).argmax(0), np.arange(4)] for part in parts]),
        total=np.stack([part.sum(0, dtype=np.float64) for part in parts]),
        fires=np.stack([(part != 0).sum(0) for part in parts]),
        fit=None,
        provenance=Provenance("made by hand", "89ab", "float32", {"nnsight": "0.8.1"}, 2.0, 1.5),
        names={3: "cats"},
    )


def test_a_latent_on_every_token_and_the_latents_of_a_token() -> None:
    result = made()
    for latent in range(4):
        assert result.column(latent).tolist() == DENSE[:, latent].tolist()
    assert result.at(1) == [(3, 4.0), (0, 1.0)]
    assert result.at(-1) == result.at(4) == [(0, 5.0)]
    assert [result.place(token) for token in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert result.name(3) == "latent 3 (cats)"
    assert result.name(0) == "latent 0"
    with pytest.raises(SelectionError, match="There is no latent 4: those of by hand are 0 to 3"):
        result.column(4)
    with pytest.raises(SelectionError, match="There is no token 5: the texts have tokens 0 to 4"):
        result.at(5)


def test_what_was_asked_for_on_every_token_takes_the_place_of_what_fires() -> None:
    exact = np.array([0.0, -0.25, 0.5, 0.0, 0.0], np.float32)
    assert replace(made(), columns={2: exact}).column(2).tolist() == exact.tolist()


def test_unread_tokens_are_unknown_and_count_in_no_mean() -> None:
    dense = DENSE.copy()
    dense[4] = 0
    result = made(dense, (True, True, True, True, False))
    assert np.isnan(result.column(0)[4])
    assert not result.complete
    assert result.tokens_read.tolist() == [3, 1]
    assert result.ranked("mean")[0] == (1, 1.5)
    assert "1 of 5 tokens not read." in result.summary()
    assert "not read" in repr(result)


def test_rankings() -> None:
    result = made()
    assert result.ranked("max") == [(0, 5.0), (3, 4.0), (1, 3.0)]  # the third never fires
    assert result.ranked("mean") == [(0, pytest.approx(6 / 5)), (1, pytest.approx(6 / 5)), (3, pytest.approx(4 / 5))]
    assert result.ranked("density") == [(1, 3 / 5), (0, 2 / 5), (3, 1 / 5)]
    difference = [(0, 1 / 3 - 5 / 2), (3, 4 / 3), (1, 5 / 3 - 1 / 2)]
    assert result.ranked("difference", 3) == [(latent, pytest.approx(value)) for latent, value in difference]
    assert len(result.ranked(n=1)) == 1
    with pytest.raises(UnknownNameError, match="unknown ranking 'maximum': did you mean 'max'"):
        result.ranked("maximum")  # type: ignore[arg-type]
    with pytest.raises(ResultError, match=r"no second text to compare with\. Pass one as against="):
        replace(result, sides=("text", "text")).ranked("difference")


def test_while_a_side_is_unread_nothing_is_ranked_by_difference() -> None:
    dense = DENSE.copy()
    dense[3:] = 0
    assert made(dense, (True, True, True, False, False)).ranked("difference") == []


def test_texts_of_a_side_are_taken_together() -> None:
    whole = made()
    texts = (*whole.texts, CORRUPT)
    more = replace(
        whole,
        texts=texts,
        sides=("text", "against", "against"),
        starts=np.concatenate([whole.starts, whole.starts[-1:].repeat(2)]),
        computed=np.ones(7, bool),
        maximum=np.concatenate([whole.maximum, np.zeros((1, 4), np.float32)]),
        total=np.concatenate([whole.total, np.zeros((1, 4))]),
        fires=np.concatenate([whole.fires, np.zeros((1, 4), np.int64)]),
    )
    assert dict(more.ranked("difference"))[0] == pytest.approx(1 / 3 - 5 / 4)


def test_the_largest_size_keeps_its_sign() -> None:
    dense = DENSE.copy()
    dense[2, 1] = -3
    result = made(dense)
    assert dict(result.ranked("max"))[1] == -3.0


def test_the_table_has_a_row_for_each_latent_that_fires() -> None:
    table = made().to_frame()
    assert table.to_dict("list") == {
        "text": [0, 0, 0, 0, 1, 1],
        "side": ["text"] * 4 + ["against"] * 2,
        "position": [0, 1, 1, 2, 0, 1],
        "token": ["The", "␣cat", "␣cat", "␣sat", "The", "␣dog"],
        "latent": [1, 0, 3, 1, 1, 0],
        "name": ["", "", "cats", "", "", ""],
        "activation": [2, 1, 4, 3, 1, 5],
    }


def test_arrays_have_names() -> None:
    array = made().to_xarray([3, 0])
    assert array.sel(latent=0).values.tolist() == DENSE[:, 0].tolist()
    assert array.sel(latent=3)["name"] == "cats"
    assert array["label"].values.tolist() == ["The", "␣cat", "␣sat", "The", "␣dog"]
    assert made().to_xarray()["latent"].values.tolist() == [0, 3, 1]
    assert replace(made(), columns={2: DENSE[:, 2]}).to_xarray()["latent"].values.tolist() == [2]
    assert made(np.zeros_like(DENSE)).to_xarray().shape == (0, 5)


def test_words() -> None:
    fit = Fit(0.9, 8.0, loss=2.0, loss_with=2.1, loss_without=4.0, n_tokens=100)
    assert replace(made(), fit=fit).summary().split("\n") == [
        "by hand (4 latents, reading resid_post of layer 1) on 5 tokens in made by hand.",
        "1.2 latents fire on a token, in the mean.",
        "Strongest: latent 0 5 at ␣dog (position 1 of text 1); latent 3 (cats) 4 at ␣cat (position 1 of text 0); "
        "latent 1 3 at ␣sat (position 2 of text 0).",
        "Most apart in the mean, text minus against: latent 0 -2.17; latent 3 (cats) +1.33; latent 1 +1.17.",
        "With 8 latents a token it explains 90.0% of the variance and recovers 95.0% of the loss (100 tokens).",
    ]
    assert made().shape_in_words() == "4 latents on 5 tokens of 2 texts"
    silent = replace(made(np.zeros_like(DENSE)), threshold=6.0, maximum=made().maximum)
    assert "No latent fires above 6: the largest activation is 5, of latent 0." in silent.summary()


def test_a_latent_whose_strongest_place_was_not_kept_is_named_without_one() -> None:
    whole = made()
    kept = made(np.where(DENSE == 3, 0, DENSE))
    assert "latent 1 3." in replace(kept, kept=1, maximum=whole.maximum).summary()


def test_it_is_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    whole = replace(
        made(),
        cards={3: CARD, 1: LatentCard(1)},
        notes={0: "Is this about 🐕?"},
        columns={2: np.array([0, np.nan, 1, 2, 3], np.float32)},
        fit=Fit(0.9, 8.0, 2.0, 2.1, 4.0, 100),
    )
    loaded = FeatureResult.load(whole.save(tmp_path / "latents.safetensors"))
    assert loaded == whole
    assert loaded.cards[3] == CARD
    assert loaded.cards[1].promotes is None
    assert loaded.cards[3].suppresses == ()
    assert (loaded.names, loaded.notes) == ({3: "cats"}, {0: "Is this about 🐕?"})
    with pytest.raises(ValueError, match="read-only"):
        loaded.activations[0] = 1
    with pytest.raises(ResultError, match="a FeatureResult"):
        PatchingResult.load(tmp_path / "latents.safetensors")


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(made().to_bytes()[:-40])
    with pytest.raises(ResultError, match="is not a safetensors file"):
        FeatureResult.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"activations": made().activations + 1},
        {"names": {}},
        {"threshold": 1.0},
        {"cards": {3: replace(CARD, density=0.5)}},
        {"cards": {3: replace(CARD, histogram=Histogram(np.array([0.0, 0.3, 0.6], np.float32), np.array([1, 3])))}},
        {"cards": {}},
    ],
)
def test_another_result_is_not_equal(change: dict[str, object]) -> None:
    whole = replace(made(), cards={3: CARD})
    assert replace(whole, **change) != whole  # type: ignore[arg-type]  # fields by name
    assert replace(made(), cards={3: replace(CARD)}) == whole


def test_names_and_notes_are_concepts(tmp_path: Path) -> None:
    named = replace(made(), notes={0: "Is this about 🐕?"})
    named.concepts.save(tmp_path / "concepts.json")
    kept = Concepts.load(tmp_path / "concepts.json")
    found = replace(made(), names={0: "animals", 3: "felines"}).with_concepts(kept)
    assert (found.names, found.notes) == ({0: "animals", 3: "cats"}, {0: "Is this about 🐕?"})
    other = replace(made(), dictionary=replace(made().dictionary, fingerprint="4567"))
    with pytest.raises(ResultError, match="the same numbers mean other latents there"):
        other.with_concepts(kept)
