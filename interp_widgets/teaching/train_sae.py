"""Train the SAE that ships with the teaching model, name its latents, and write its card.

python -m interp_widgets.teaching.train_sae --out sae            # train, or go on, and print what it does
python -m interp_widgets.teaching.train_sae --out sae --install  # and put it into the package
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import torch

from interp_widgets.experiments.train_sae import train_sae
from interp_widgets.models.dictionaries.topk import TopKSAE

from . import sae_card
from .data import FOLDER, SAE_FOLDER, bundled_tokenizer
from .loading import load
from .measure import Figure, Lab
from .measure.concepts import CONCEPTS
from .measure.sae import Named, PlainSae, halves, measure, name_latents
from .rows import RowMaker
from .train import threads

SITE: Final = "resid_post"
LAYER: Final = 1
N_LATENTS: Final = 1024
K: Final = 8
STEPS: Final = 2000

_BATCHES: Final = 300
_SEED: Final = 99


def rows() -> list[list[int]]:
    """What it is trained on: 64 tokens each, drawn as for the model, with a seed of its own."""
    maker = RowMaker(bundled_tokenizer())
    return [ids for step in range(_BATCHES) for ids in maker.batch(_SEED, step).ids.tolist()]


def train(out: Path, steps: int = STEPS) -> None:
    """Train, from where an earlier call was stopped if there is something in `out`, and round to half precision."""
    begun = out / "begun"
    sae = train_sae(
        load(),
        rows(),
        site=SITE,
        layer=LAYER,
        n_latents=N_LATENTS,
        k=K,
        steps=steps,
        buffer=2**20,
        checkpoint=begun,
        resume=begun if (begun / "training.safetensors").exists() else None,
    )
    sae.save(out, dtype=torch.float16)


def judge(out: Path) -> tuple[list[Named], dict[str, Figure]]:
    """Name the latents of a trained folder, write the names into it, and measure everything."""
    lab, plain = Lab(FOLDER), PlainSae(out)
    named = name_latents(halves(lab, plain)[0])
    figures = measure(lab, plain, named)
    sae = TopKSAE.load(out)
    names = {concept.key: concept.name for concept in CONCEPTS}
    sae.concepts = replace(
        sae.concepts,
        names={each.latent: names[each.concept] for each in named},
        notes={each.latent: _note(each, figures) for each in named},
    )
    sae.save(out, dtype=torch.float16)
    return named, figures


def _note(named: Named, figures: Mapping[str, Figure]) -> str:
    precision, recall = (figures[f"sae.latent.{named.concept}.{kind}"].value for kind in ("precision", "recall"))
    return f"above {named.threshold:g}: precision {precision:.2f}, recall {recall:.2f} on held-out documents"


def install(out: Path, named: Sequence[Named], figures: Mapping[str, Figure]) -> None:
    """Put the SAE into the package and write its card."""
    sae = TopKSAE.load(out)
    sae.save(SAE_FOLDER, dtype=torch.float16)
    counts: dict[str, Any] = {
        "site": SITE,
        "layer": LAYER,
        "latents": N_LATENTS,
        "k": K,
        "steps": sae.curves.total_steps,
        "tokens": int(sae.curves.tokens[-1]),
        "named": [asdict(each) for each in named],
    }
    sae_card.write(sae_card.make(figures.values(), counts))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.teaching.train_sae", description="Train the teaching model's SAE."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to train in")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"steps of 2048 tokens (default: {STEPS})")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    parser.add_argument("--install", action="store_true", help="put it and its card into the package")
    given = parser.parse_args(arguments)
    with threads(given.threads):
        if not (given.out / "cfg.json").exists():
            train(given.out, given.steps)
        named, figures = judge(given.out)
    for figure in figures.values():
        print(f"{figure.name:<40} {figure.value:.3f}")
    if given.install:
        install(given.out, named, figures)


if __name__ == "__main__":
    main()
