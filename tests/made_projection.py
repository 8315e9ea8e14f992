"""Maps made by hand, for tests of what shows and saves them: where every point lies is known without a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.projection import ProjectionResult
from interp_widgets.results.provenance import Provenance

WORDS = ("<bos>", "␣Mary", "␣John", "␣gave", "␣the", "↵")
N_PROMPTS, LENGTH = 12, 5


def coords(layers: int = 3, per_prompt: int = LENGTH - 1, axes: int = 2) -> NDArray[np.float32]:
    """(layer, point, axis): prompts of even number at the left, others at the right; each layer is turned by 40°."""
    rng = np.random.default_rng(0)
    even = np.arange(N_PROMPTS).repeat(per_prompt) % 2 == 0
    flat = rng.normal(size=(len(even), axes))
    flat[:, 0] += np.where(even, -6, 6)
    flat -= flat.mean(0)
    turn = np.eye(axes)
    angle = np.deg2rad(40)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.array([flat @ np.linalg.matrix_power(turn, layer) * (1 + layer) for layer in range(layers)], np.float32)


def projection(
    *,
    layers: Sequence[int] = (0, 1, 2),
    axes: tuple[str, ...] = ("PC 1", "PC 2"),
    n_given: int = 0,
    labels: bool = True,
    computed: Sequence[int] | None = None,
    outlier: float | None = None,
    method: str = "pca",
) -> ProjectionResult:
    """Twelve prompts of five tokens, of which all but the first are points; prompts are in turn "left" and "right"."""
    placed = coords(len(layers), axes=len(axes))
    for row in range(len(layers)):
        if computed is not None and row not in computed:
            placed[row] = np.nan
    ids = np.array([[0, 1 + n % 2, 3, 4, 5 if n else 4] for n in range(N_PROMPTS)], np.int32)
    taken = np.ones_like(ids, bool)
    taken[:, 0] = False
    variance = placed.astype(np.float64).var(1, ddof=1)
    total = variance.sum(-1) / 0.8
    if method != "pca":
        variance[:] = np.nan
    width = 4
    basis = np.zeros((len(layers), len(axes) if method == "pca" else 0, width), np.float32)
    for axis in range(basis.shape[1]):
        basis[:, axis, axis] = 1
    return ProjectionResult(
        method=method,  # type: ignore[arg-type]  # as a test says it
        site="resid_post",
        layers=tuple(layers),
        axes=axes,
        n_given=n_given,
        ids=ids.ravel(),
        starts=np.arange(N_PROMPTS) * LENGTH,
        vocab=dict(enumerate(WORDS)),
        labels=tuple("left" if n % 2 == 0 else "right" for n in range(N_PROMPTS)) if labels else (),
        points=np.flatnonzero(taken.ravel()),
        coords=placed,
        variance=variance,
        total=total,
        scree=np.tile(np.array([0.6, 0.2, 0.1, 0.1], np.float32), (len(layers), 1)),
        basis=basis,
        offsets=np.zeros(basis.shape[:2], np.float32),
        outlier=outlier,
        done=1,
        todo=1,
        provenance=Provenance("made by hand", "0" * 16, "float32", {"interp_widgets": "0"}),
        code="print($there)\n" if method == "pca" and not n_given else "",
        reads=tuple(f"layer{layer}" for layer in layers),
    )
