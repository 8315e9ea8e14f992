"""Reading one place, against a plain hook."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from interp_widgets import teaching
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.harvest import harvest
from interp_widgets.models.opening import open_model
from interp_widgets.results.dictionary import Place
from interp_widgets.results.errors import SelectionError, SiteError
from tests.experiments import zoo

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


@pytest.fixture(scope="module")
def access() -> Access:
    return resolve(open_model(teaching.load()))


def hooked(access: Access, module: str, *, entering: bool) -> torch.Tensor:
    found: list[torch.Tensor] = []
    part = access.opened.module.get_submodule(module)

    def keep(_module: Any, args: Any, output: Any) -> None:
        value = args[0] if entering else output
        found.append(value[0] if isinstance(value, tuple) else value)

    with torch.no_grad(), _removed(part.register_forward_hook(keep)):
        access.opened.module(IDS)
    return found[0]


class _removed:  # noqa: N801
    def __init__(self, handle: Any) -> None:
        self.handle = handle

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


@pytest.mark.parametrize(
    ("site", "module", "entering"),
    [
        ("resid_pre", "transformer.h.2", True),
        ("resid_post", "transformer.h.2", False),
        ("attn_out", "transformer.h.2.attn", False),
        ("mlp_out", "transformer.h.2.mlp", False),
        ("mlp_in", "transformer.h.2.mlp", True),
        ("mlp_post", "transformer.h.2.mlp.c_proj", True),
        ("z", "transformer.h.2.attn.c_proj", True),
        ("resid_mid", "transformer.h.2.ln_2", True),
    ],
)
def test_each_place_is_what_a_hook_sees_there(access: Access, site: Any, module: str, entering: bool) -> None:
    found = harvest(access, IDS, Place(site, 2), lambda there: there * 1)
    torch.testing.assert_close(found, hooked(access, module, entering=entering), rtol=1e-5, atol=1e-5)


def test_later_layers_do_not_run(access: Access) -> None:
    ran: list[int] = []
    blocks = [access.opened.module.get_submodule(f"transformer.h.{number}") for number in range(4)]
    handles = [block.register_forward_pre_hook(lambda *_, n=n: ran.append(n)) for n, block in enumerate(blocks)]
    harvest(access, IDS, Place("resid_post", 1), lambda there: there.sum())
    for handle in handles:
        handle.remove()
    assert ran == [0, 1]


def test_what_comes_after_a_token_does_not_change_it(access: Access) -> None:
    padded = torch.cat([IDS, torch.full((2, 3), 50)], 1)
    alone = harvest(access, IDS, Place("resid_post", 3), lambda there: there.clone())
    torch.testing.assert_close(harvest(access, padded, Place("resid_post", 3), lambda there: there[:, :4]), alone)


def test_places_that_do_not_exist_are_refused_before_any_run(access: Access) -> None:
    with pytest.raises(SelectionError, match=r"no layer 4: .* layers 0 to 3"):
        harvest(access, IDS, Place("resid_post", 4), lambda there: there)
    parallel = resolve(open_model(zoo.model("gptj")))
    with pytest.raises(SiteError, match="resid_mid does not exist"):
        harvest(parallel, IDS, Place("resid_mid", 1), lambda there: there)
