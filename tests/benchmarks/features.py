"""How fast a corpus is read for the strongest examples of latents, beside a bare forward pass, in alternating rounds.

    python -m tests.benchmarks.features
    python -m tests.benchmarks.features --tokens 1000000 --rounds 1

Both run the bundled model on the same documents of 64 tokens, in batches of 4096 tokens, on the same threads. The bare
pass is transformers' own: all four layers and the logits of every position, nothing kept. Ours stops after the second
layer, encodes what is there with the bundled autoencoder (TopK, 1024 latents, 8 of them on at a time), and keeps the
ten strongest examples, the histogram and the density of every latent.

Seconds are medians, on the wall and of the processor: the second are those to trust on a machine that others share.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator

import torch

from interp_widgets import run_top_examples, teaching
from interp_widgets.teaching.corpus import passages

ROWS, CONTEXT = 64, 64


def documents(tokenizer: object, tokens: int) -> list[list[int]]:
    """Cut the teaching corpus into documents of the model's context."""

    def ids() -> Iterator[int]:
        for passage in passages(random.Random(0)):
            yield from tokenizer(passage.text)["input_ids"]  # type: ignore[operator]

    stream = ids()
    return [[next(stream) for _ in range(CONTEXT)] for _ in range(tokens // CONTEXT)]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - processor


def main() -> None:
    """Print both rates and their ratio."""
    parser = argparse.ArgumentParser(description="Compare reading a corpus for examples with a bare forward pass.")
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    model = teaching.load()
    network, sae = teaching.load()._module, teaching.sae()
    corpus = documents(model.tokenizer, asked.tokens)

    def bare(rows: list[list[int]]) -> None:
        with torch.no_grad():
            for batch in torch.tensor(rows).split(ROWS):
                network(batch, use_cache=False)

    def ours(rows: list[list[int]]) -> None:
        assert run_top_examples(model, sae, rows).n_tokens == len(rows) * CONTEXT

    bare(corpus[:ROWS])
    ours(corpus[:ROWS])  # what is only found out once of a model
    times: dict[str, list[tuple[float, float]]] = {"bare forward pass": [], "strongest examples": []}
    for _ in range(asked.rounds):
        times["bare forward pass"].append(timed(lambda: bare(corpus)))
        times["strongest examples"].append(timed(lambda: ours(corpus)))
    tokens = len(corpus) * CONTEXT
    print(f"{tokens:,} tokens, {asked.rounds} rounds, {asked.threads} threads")
    for name, taken in times.items():
        wall, processor = (statistics.median(kind) for kind in zip(*taken, strict=True))
        print(
            f"{name:20} {tokens / wall:10,.0f} tokens/s on the wall, {tokens / processor:10,.0f} tokens/s of the "
            "processor"
        )
    pairs = zip(times["bare forward pass"], times["strongest examples"], strict=True)
    ratios = sorted(bare_time[1] / own[1] for bare_time, own in pairs)
    print(
        f"examples at {statistics.median(ratios):.2f} of the bare rate (processor; {ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


if __name__ == "__main__":
    main()
