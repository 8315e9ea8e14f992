"""Names and notes of latents, and the file that keeps them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interp_widgets.results.concepts import Concepts
from interp_widgets.results.dictionary import DictionaryInfo, Place
from interp_widgets.results.errors import ResultError, SelectionError, UnknownNameError

PLACE = Place("resid_post", 1)
INFO = DictionaryInfo("my SAE", "sae", PLACE, PLACE, 16, 8, "", "aaaa")
OTHER = DictionaryInfo("your SAE", "sae", PLACE, PLACE, 16, 8, "", "bbbb")
CONCEPTS = Concepts.of(INFO, {11: "a city", 2: '«quotes» "and" ümlaut'}).noted(11, "not Rome").noted(5, "what is this?")


def test_a_file_says_what_was_saved(tmp_path):
    CONCEPTS.save(tmp_path / "concepts.json")
    assert Concepts.load(tmp_path / "concepts.json") == CONCEPTS


def test_a_file_can_be_read_by_people(tmp_path):
    CONCEPTS.save(tmp_path / "concepts.json")
    content = json.loads((tmp_path / "concepts.json").read_text(encoding="utf-8"))
    assert content["concepts"] == {
        "2": {"name": '«quotes» "and" ümlaut'},
        "5": {"note": "what is this?"},
        "11": {"name": "a city", "note": "not Rome"},
    }
    assert "ümlaut" in (tmp_path / "concepts.json").read_text(encoding="utf-8")


def test_the_same_concepts_make_the_same_file_in_whatever_order_they_were_given(tmp_path):
    one = Concepts.of(INFO).named(11, "a city").named(2, "a name")
    other = Concepts.of(INFO).named(2, "a name").named(11, "a city")
    one.save(tmp_path / "one")
    other.save(tmp_path / "other")
    assert one == other
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_naming_leaves_the_concepts_that_were_named_as_they_are():
    before = Concepts.of(INFO, {1: "one"})
    after = before.named(1, " first ").noted(1, "note")
    assert before.names == {1: "one"}
    assert (after.names, after.notes) == ({1: "first"}, {1: "note"})


def test_an_empty_name_takes_the_name_away():
    assert CONCEPTS.named(11, " ").names == {2: CONCEPTS.names[2]}
    assert len(CONCEPTS) == 3
    assert len(CONCEPTS.named(2, "").noted(5, "")) == 1


def test_a_latent_is_found_by_its_name():
    assert CONCEPTS.latent("a city") == 11
    with pytest.raises(UnknownNameError, match=r"unknown concept 'a citty': did you mean 'a city'\?"):
        CONCEPTS.latent("a citty")


def test_merging_keeps_both_and_prefers_the_newer():
    newer = Concepts.of(INFO, {11: "a capital", 3: "three"})
    merged = CONCEPTS.merged(newer)
    assert merged.names == {2: CONCEPTS.names[2], 3: "three", 11: "a capital"}
    assert merged.notes == CONCEPTS.notes


def test_the_concepts_of_another_dictionary_are_refused():
    with pytest.raises(ResultError) as error:
        CONCEPTS.merged(Concepts.of(OTHER))
    assert str(error.value) == (
        "These concepts are about my SAE with the fingerprint aaaa, and not about your SAE with bbbb: the same numbers "
        "mean other latents there. Open the dictionary that they were written for."
    )
    with pytest.raises(ResultError, match="your SAE with bbbb"):
        CONCEPTS.check(OTHER)
    CONCEPTS.check(INFO)


def test_what_no_view_has_room_for_is_refused():
    assert CONCEPTS.named(3, "x" * 80).noted(3, "y" * 4000).names[3] == "x" * 80
    with pytest.raises(ResultError, match="The name of latent 3 has 81 characters, and views have room for 80"):
        CONCEPTS.named(3, "x" * 81)
    with pytest.raises(ResultError, match="The note of latent 3 has 4001 characters, and views have room for 4000"):
        CONCEPTS.noted(3, "y" * 4001)


@pytest.mark.parametrize("latent", [-1, 16])
def test_a_latent_that_does_not_exist_cannot_be_named(latent):
    with pytest.raises(SelectionError, match=f"^There is no latent {latent}: those of my SAE are 0 to 15.$"):
        CONCEPTS.named(latent, "x")
    with pytest.raises(SelectionError, match=f"no latent {latent}"):
        CONCEPTS.noted(latent, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON file"),
        ("\xff", "is no JSON file"),
        ("[]", "holds no concepts"),
        ('{"concepts": {}}', "holds no concepts"),
        ('{"interp_widgets": "Concepts", "concepts": {"x": {}}}', "edited into something"),
        ('{"interp_widgets": "Concepts", "concepts": [1]}', "edited into something"),
        (
            '{"interp_widgets": "Concepts", "dictionary": "d", "fingerprint": "f", "n_latents": 2, '
            '"concepts": {"2": {"name": "out of range"}}}',
            "edited into something",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "concepts.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ResultError, match=message):
        Concepts.load(path)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ResultError, match=r"there is no file .*concepts\.json"):
        Concepts.load(tmp_path / "concepts.json")


@pytest.mark.parametrize("latent", ["7", 1.5, True, None, 16, -1])
def test_what_is_no_latent_is_refused(latent):
    with pytest.raises(SelectionError, match=f"There is no latent {latent!r}: those of my SAE are 0 to 15"):
        Concepts.of(INFO, {latent: "a city"})


def test_a_name_that_is_no_text_is_refused():
    with pytest.raises(ResultError, match="names holds 5 for latent 3"):
        Concepts.of(INFO, {3: 5})
    with pytest.raises(ResultError, match="names is a list"):
        Concepts.of(INFO, ["a city"])


def test_numbers_of_numpy_name_latents_too(tmp_path):
    concepts = Concepts.of(INFO, {np.int64(3): "a city"})
    concepts.save(tmp_path / "concepts.json")
    assert {type(latent) for latent in concepts.names} == {int}
    assert Concepts.load(tmp_path / "concepts.json") == concepts
