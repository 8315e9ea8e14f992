"""Token ids as people read them, whatever a tokenizer does inside."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from interp_widgets.results.tokens import Token, Tokens, visible

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>\Z")
_PREFIX_SPACE = "\u2581"  # how SentencePiece writes a space


class Labels:
    """The label of every id of one tokenizer; of the bare ids where there is no tokenizer.

    Byte-level tokens are decoded to text where their bytes are whole characters and shown as bytes (`⟨E2 80⟩`) where
    they are not. SentencePiece's `▁` becomes a space. Special tokens keep their names.
    """

    def __init__(self, tokenizer: Any | None) -> None:
        self._tokenizer = tokenizer
        self._special: frozenset[int] = frozenset(getattr(tokenizer, "all_special_ids", ()))
        self._byte_level = tokenizer is not None and _is_byte_level(tokenizer)

    def __call__(self, token: int) -> str:
        """Return the label of a token id."""
        return visible(self._surface(token))

    def token(self, token: int) -> Token:
        """Return a token id with its label."""
        return Token(token, self(token))

    def tokens(self, ids: tuple[int, ...]) -> Tokens:
        """Return a tokenised prompt with its labels."""
        return Tokens(ids, tuple(self(token) for token in ids))

    def text(self, token: int) -> str:
        """Return the characters that a token adds to a text; empty for bytes that are no whole character."""
        surface = self._surface(token)
        return surface if isinstance(surface, str) else surface.decode(errors="ignore")

    def spelling(self, token: int) -> bytes:
        """Return the bytes that a token adds to a text."""
        surface = self._surface(token)
        return surface if isinstance(surface, bytes) else surface.encode()

    def _surface(self, token: int) -> str | bytes:
        if self._tokenizer is None:
            return f"#{token}"
        name = self._tokenizer.convert_ids_to_tokens(token)
        if name is None:  # the embedding matrix is often padded beyond the vocabulary
            return f"#{token}"
        if isinstance(name, bytes):
            return name
        if token in self._special:
            return str(name)
        if self._byte_level:
            table = _bytes_of_characters()
            try:
                return bytes(table[character] for character in name)
            except KeyError:  # an added token, stored as plain text
                return str(name)
        byte = _BYTE_TOKEN.match(name)
        return bytes.fromhex(byte[1]) if byte else str(name).replace(_PREFIX_SPACE, " ")


def _is_byte_level(tokenizer: Any) -> bool:
    if hasattr(tokenizer, "byte_decoder"):  # the slow GPT-2 tokenizer and its kin
        return True
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    try:
        return decoder is not None and b"ByteLevel" in decoder.__getstate__()
    except Exception:  # a decoder written in Python has no serialised form
        return False


@lru_cache(maxsize=1)
def _bytes_of_characters() -> dict[str, int]:
    # The alphabet of byte-level BPE (Radford et al. 2019): printable bytes stand for themselves, the others for the
    # characters from U+0100 on, in order.
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
