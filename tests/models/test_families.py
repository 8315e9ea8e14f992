"""The architectures that are supported are those that are tested."""

from __future__ import annotations

import pytest

from interp_widgets.models import families
from tests.experiments import zoo

PROMISED = {
    *("gpt2", "gpt_neo", "gptj", "gpt_neox", "opt", "bloom", "falcon", "mpt", "llama", "mistral", "mixtral"),
    *("qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2", "gemma3_text", "phi", "phi3", "olmo2", "stablelm"),
    *("starcoder2", "gpt_bigcode", "gpt_oss", "cohere", "granite"),
}
"""Families that the package says it supports."""


@pytest.fixture(scope="module")
def built() -> set[str]:
    return {zoo.model(name).config.model_type for name in zoo.FAMILIES}


def test_every_row_is_tested_on_a_small_model(built: set[str]) -> None:
    assert set(families.FAMILIES) == built


def test_the_families_that_are_promised_are_there(built: set[str]) -> None:
    assert built >= PROMISED
