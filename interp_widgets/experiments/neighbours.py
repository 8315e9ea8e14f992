"""Maps of who is near whom: t-SNE and UMAP, by the libraries that are known for them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.results.errors import MissingPackageError
from interp_widgets.results.projection import NAMES, Method

WIDTH = 50
"""Principal components that a map is made of; more add noise and time (van der Maaten and Hinton 2008)."""

_NEEDS = {"tsne": ("sklearn.manifold", "scikit-learn"), "umap": ("umap", "umap-learn")}

Map = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def mapping(method: Method, n_axes: int, seed: int) -> Map:
    """Return what makes a map, (point, axis), of points, (point, d).

    Raises:
        MissingPackageError: the library is not installed.
    """
    module, package = _NEEDS[method]
    try:
        library: Any = importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"method={method!r} needs {package}, which is not installed: pip install {package}, or "
            'pip install "interp-widgets[projection]". method="pca" needs nothing more.'
        ) from error

    def placed(points: NDArray[np.float64]) -> NDArray[np.float64]:
        made: NDArray[np.float64] = _model(library, method, n_axes, seed, len(points)).fit_transform(points)
        made -= made.mean(0)
        return made

    return placed


def settings_of(method: Method, n_points: int) -> str:
    """Say in words what a map is made with."""
    if method == "tsne":
        return f"{NAMES[method]}, perplexity {_perplexity(n_points):g}, of {WIDTH} principal components at most"
    return f"{NAMES[method]}, {_neighbours(n_points)} neighbours, of {WIDTH} principal components at most"


def _perplexity(n_points: int) -> float:
    return min(30.0, max(1.0, (n_points - 1) / 3))


def _neighbours(n_points: int) -> int:
    return max(2, min(15, n_points - 1))


def _model(library: Any, method: Method, n_axes: int, seed: int, n_points: int) -> Any:
    if method == "tsne":
        how = "barnes_hut" if n_axes < 4 else "exact"
        return library.TSNE(
            n_components=n_axes, perplexity=_perplexity(n_points), init="pca", random_state=seed, method=how
        )
    return library.UMAP(n_components=n_axes, n_neighbors=_neighbours(n_points), random_state=seed, n_jobs=1)
