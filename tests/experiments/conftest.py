"""One thread: tiny models lose more to waiting for each other than they gain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def story_model() -> Path:
    """A model that writes English stories, where this checkout has one beside it."""
    folder = Path(__file__).parents[3] / "shared" / "models" / "stories260K"
    if not folder.exists():
        pytest.skip("no English model beside this checkout")
    return folder
