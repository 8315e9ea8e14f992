"""Train the teaching model from nothing but a seed.

    python -m interp_widgets.teaching.train --seeds 0 1 2 3 --out runs

Each seed writes ``runs/seed0/``: ``checkpoint.pt`` to resume from, ``curves.json``, and in the end the model itself
(``model.safetensors`` in fp16, ``config.json``, ``tokenizer.json``). A run that was stopped goes on from its
checkpoint, to the same weights as if it had not been stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from . import network, tokenizer
from .optimiser import Optimiser
from .rows import ROWS, Batch, RowMaker
from .saving import save

_EVERY = 50


@dataclass(frozen=True)
class Run:
    """What one training run is made of.

    Attributes:
        seed: Seeds both the weights and the rows.
        steps: Length of the run, which also sets the schedule.
        out: Folder of this run's files.
        rows: Rows of 64 tokens in a batch.
        checkpoint_every: Steps between two checkpoints.
    """

    seed: int
    steps: int
    out: Path
    rows: int = ROWS
    checkpoint_every: int = 250


def loss(model: GPT2LMHeadModel, batch: Batch) -> torch.Tensor:
    """Weighted mean of the next-token cross-entropy, in nats."""
    logits = model(batch.ids, use_cache=False).logits[:, :-1]
    losses = functional.cross_entropy(logits.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
    weights = batch.weights[:, 1:].flatten()
    return (losses * weights).sum() / weights.sum()


def train(
    run: Run, words: Tokenizer, settings: GPT2Config | None = None, report: Callable[[str], None] = print
) -> GPT2LMHeadModel:
    """Train one seed, from its checkpoint if there is one.

    Args:
        run: Seed, length and place.
        words: The tokenizer.
        settings: The architecture; by default the one that is shipped.
        report: Called with a line of progress now and then.

    Returns:
        The trained network, in fp32. Its files are in ``run.out``.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    model = network.build(settings or network.config(words.get_vocab_size()), run.seed)
    optimiser = Optimiser(model, run.steps)
    first, curve = _resume(run, model, optimiser)
    maker = RowMaker(words, run.rows)
    started = time.monotonic()
    recent: list[float] = []
    for step in range(first, run.steps):
        value = loss(model, maker.batch(run.seed, step))
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step(step)
        recent.append(value.item())
        done = step + 1
        if done % _EVERY == 0 or done == run.steps:
            curve.append({"step": done, "loss": sum(recent) / len(recent)})
            recent.clear()
            pace = (time.monotonic() - started) / (done - first)
            tokens = run.rows * network.CONTEXT / pace
            report(
                f"seed {run.seed}  step {done}/{run.steps}  loss {curve[-1]['loss']:.4f}  "
                f"{tokens / 1000:.1f}k tokens/s  {(run.steps - done) * pace / 60:.1f} min left"
            )
        if done % run.checkpoint_every == 0 or done == run.steps:
            _checkpoint(run, done, model, optimiser, curve)
    save(model, words, run.out)
    return model


def _checkpoint(
    run: Run, done: int, model: GPT2LMHeadModel, optimiser: Optimiser, curve: Sequence[dict[str, float]]
) -> None:
    (run.out / "curves.json").write_text(json.dumps({"seed": run.seed, "steps": run.steps, "curve": curve}, indent=1))
    # Written beside and then moved: a run stopped in the middle of writing leaves the checkpoint before it whole.
    fresh = run.out / "checkpoint.new"
    torch.save({"done": done, "model": model.state_dict(), "optimiser": optimiser.state_dict(), "curve": curve}, fresh)
    os.replace(fresh, run.out / "checkpoint.pt")


def _resume(run: Run, model: GPT2LMHeadModel, optimiser: Optimiser) -> tuple[int, list[dict[str, float]]]:
    path = run.out / "checkpoint.pt"
    if not path.exists():
        return 0, []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["done"], state["curve"]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m interp_widgets.teaching.train", description="Train the teaching model."
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3], help="one run each (default: 0 1 2 3)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs")
    parser.add_argument("--steps", type=int, default=2400, help="steps of 2048 tokens (default: 2400)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: 1)")
    given = parser.parse_args(arguments)
    words = tokenizer.build()
    with threads(given.threads):
        for seed in given.seeds:
            train(Run(seed, given.steps, given.out / f"seed{seed}"), words, report=lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
