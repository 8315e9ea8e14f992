"""Tokens as people read them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp_widgets.results.tokens import Token, Tokens, describe_difference, differing, shared_prefix, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Mary", "␣Mary"),
        ("\n", "↵"),
        ("\t", "⇥"),
        ("", "⟨empty⟩"),
        (b"", "⟨empty⟩"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("\u200d", "⟨U+200D⟩"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("नमस्ते", "नमस्ते"),
        ("é", "é"),
        (" é".encode(), "␣é"),
        (b"\xe2\x80", "⟨E2 80⟩"),
        (b"a\xffb", "a⟨FF⟩b"),
    ],
)
def test_visible(text: str | bytes, expected: str) -> None:
    assert visible(text) == expected


@given(st.one_of(st.text(), st.binary()))
def test_nothing_invisible_is_left(text: str | bytes) -> None:
    shown = visible(text)
    assert shown
    assert not any(unicodedata.category(character) in {"Cc", "Cs", "Co", "Zl", "Zp"} for character in shown)
    assert not set(shown) & set("\n\t\u202e")


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_shared_prefix(clean: list[int], corrupt: list[int]) -> None:
    count = shared_prefix(clean, corrupt)
    assert clean[:count] == corrupt[:count]
    assert clean[count : count + 1] != corrupt[count : count + 1] or len(clean) == count == len(corrupt)


def test_differing_needs_equal_lengths() -> None:
    one, two = Tokens((1, 2, 3), ("a", "b", "c")), Tokens((1, 5, 6), ("a", "d", "e"))
    assert differing(one, two) == (1, 2)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        differing(one, Tokens((1,), ("a",)))
    assert one[1] == Token(2, "b")
    with pytest.raises(ValueError, match="2 ids but 1 labels"):
        Tokens((1, 2), ("a",))


def test_long_equal_parts_are_shortened() -> None:
    labels = tuple(f"w{number}" for number in range(30))
    clean, corrupt = Tokens(tuple(range(30)), labels), Tokens((*range(29), 99, 98), (*labels[:-1], "x", "y"))
    first, second = describe_difference(clean, corrupt).splitlines()
    assert first == "clean   (30 tokens): w0 w1 w2 w3 … w25 w26 w27 w28 [w29]"
    assert second.endswith("[x y]")
