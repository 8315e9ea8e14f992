"""Words that several results and messages have in common."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Say how many there are.

    >>> counted(1, "latent"), counted(16384, "latent")
    ('1 latent', '16,384 latents')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
