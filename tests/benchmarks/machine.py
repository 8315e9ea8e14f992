"""The machine that is measured: where the model is, in which dtype, and how fast that multiplies matrices."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

_SHAPE = (768, 768, 3072)
"""Tokens, width and the MLP's width: a product of GPT-2 small's MLP."""


@dataclass(frozen=True)
class Machine:
    """Where a model runs."""

    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    threads: int = 2

    @property
    def name(self) -> str:
        """What it is, in words."""
        dtype = str(self.dtype).removeprefix("torch.")
        if self.device != "cpu":
            return f"{torch.cuda.get_device_name(self.device)}, {dtype}"
        return f"{_processor()}, {self.threads} threads, {dtype}"

    @property
    def tolerance(self) -> float:
        """How far two ways may be apart in a logit difference, for rounding alone."""
        return 1e-4 if self.dtype == torch.float32 and self.device == "cpu" else 64 * torch.finfo(self.dtype).eps

    def timed(self, run: Callable[[], torch.Tensor]) -> tuple[tuple[float, float], torch.Tensor]:
        """Run, and return the seconds on the wall and of the processor, and what came of it."""
        wall, processor = time.perf_counter(), time.process_time()
        values = run()
        self.wait()
        return (time.perf_counter() - wall, time.process_time() - processor), values

    def wait(self) -> None:
        """Let the device finish."""
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def matrix_rate(self) -> float:
        """Operations a second in a product of the model's shape, the best of some."""
        tokens, width, wide = _SHAPE
        left = torch.randn(tokens, width, device=self.device, dtype=self.dtype)
        right = torch.randn(width, wide, device=self.device, dtype=self.dtype)
        times = [self.timed(lambda: left @ right)[0][0] for _ in range(10)]
        return 2 * tokens * width * wide / min(times)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
