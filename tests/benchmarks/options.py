"""What the benchmarks' commands have in common."""

from __future__ import annotations

import argparse

import torch

from tests.benchmarks.machine import Machine
from tests.benchmarks.transformer_lens import TransformerLens


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument(
        "--most",
        type=int,
        default=180,
        help="patches that the ways with one pass a patch run, spread over the grid; the rest is extrapolated",
    )
    parser.add_argument("--transformer-lens-python", default=None, help="the Python that has TransformerLens")


def machine_of(options: argparse.Namespace) -> Machine:
    torch.set_num_threads(options.threads)
    return Machine(options.device, getattr(torch, options.dtype), options.threads)


def lens_of(options: argparse.Namespace) -> TransformerLens | None:
    python = options.transformer_lens_python
    return TransformerLens(python, machine_of(options)) if python else None
