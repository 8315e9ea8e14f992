"""The few lines of nnsight and scikit-learn that fit and test the probes of one cell, written for the model at hand."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from interp_widgets.experiments.code_sites import blocks_at, site_lines, traced
from interp_widgets.models.access import Access
from interp_widgets.results.dictionary import Place
from interp_widgets.results.probe import Examples, Kind
from interp_widgets.results.terms import HEAD_SITES, SITE_TERMS, Site

_INLINE = 400
"""Token ids that are printed; of more the lines take them from `view.result`."""


def probe_code(
    access: Access,
    examples: Examples,
    classes: Sequence[str],
    rows: Sequence[Place],
    kinds: Sequence[Kind],
    strengths: Sequence[float],
) -> dict[str, str]:
    """Write the templates of the lines by "site kind", with $layer, $at, $where, $column and $folds to be filled in."""
    sites = dict.fromkeys(place.site for place in rows)
    return {
        f"{site} {kind}": "\n".join(_lines(access, examples, classes, site, kind, strengths)) + "\n"
        for site in sites
        if site != "mlp_in"
        for kind in kinds
    }


def _lines(
    access: Access, examples: Examples, classes: Sequence[str], site: Site, kind: Kind, strengths: Sequence[float]
) -> list[str]:
    opened = access.opened
    training = any(part.training for part in opened.module.modules())
    read = f"{site_lines(access, site, ':', 'block').read(':')}[0]"
    if site in HEAD_SITES:
        read += ".flatten(1)"
    elif site in ("attn_out", "mlp_out") and access.scale != 1:
        read = f"({read} * {access.scale})"
    numbered = ", ".join(f"{number} is {name}" for number, name in enumerate(classes))
    each, put = ("ids, tokens", "extend") if examples.per_token else ("ids", "append")
    over = "zip(texts, places)" if examples.per_token else "texts"
    return [
        "import numpy as np",
        "import torch",
        *_imports(kind, strengths),
        *opened.setup.splitlines(),
        *(["model.eval()  # probes are fitted with dropout off"] if training else []),
        "",
        *_data(examples, numbered),
        "",
        f"block = {blocks_at(access, '$layer')}",
        "x = []",
        "with torch.no_grad():",
        f"    # {site}, {SITE_TERMS[site].meaning}: $where.",
        f"    for {each} in {over}:",
        "        ids = torch.tensor([ids])",
        f"        with {traced(access, 'ids')}:",
        f"            there = {read}.float().clone().save()",
        f"        x.{put}(there$at.cpu().numpy())",
        "x = np.array(x)",
        "",
        *(
            ["pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, tol=1e-6))"]
            if kind == "logistic" and len(strengths) > 1
            else []
        ),
        "right = np.zeros(len(y), bool)",
        "for held_out in range(fold.max() + 1):",
        "    train, test = fold != held_out, fold == held_out",
        f"    probe = {_fitted(kind, strengths)}",
        "    probe.fit(x[train], y[train])",
        "    right[test] = probe.predict(x[test]) == y[test]",
        "print(right.mean())",
    ]


def _imports(kind: Kind, strengths: Sequence[float]) -> list[str]:
    if kind == "means":
        return ["from sklearn.neighbors import NearestCentroid"]
    several = ["from sklearn.model_selection import GridSearchCV, PredefinedSplit"] if len(strengths) > 1 else []
    return [
        "from sklearn.linear_model import LogisticRegression",
        *several,
        "from sklearn.pipeline import make_pipeline",
        "from sklearn.preprocessing import StandardScaler",
    ]


def _data(examples: Examples, numbered: str) -> list[str]:
    if sum(map(len, examples.texts)) + len(examples) > _INLINE:
        tokens = []
        if examples.per_token:
            tokens = ["places = [examples.position[examples.text == text] for text in range(len(texts))]"]
        return [
            "# `view` is yours: what show_probe returned. Beginnings or texts that are the same are in one fold.",
            "examples = view.result.examples",
            "texts = [tokens.ids for tokens in examples.texts]",
            *tokens,
            f"y = examples.labels  # {numbered}",
            "fold = view.result.folds[$column]",
        ]
    tokens = []
    if examples.per_token:
        places = [examples.position[examples.text == text].tolist() for text in range(len(examples.texts))]
        tokens = [_wrapped("places = ", str(places))]
    listed = [f"    {list(text.ids)}," for text in examples.texts]
    return [
        "# Each text as its token ids, its label, and the fold in which it is tested.",
        "texts = [",
        *listed,
        "]",
        *tokens,
        f"# {numbered}.",
        _wrapped("y = np.array(", f"{examples.labels.tolist()})"),
        "fold = np.array($folds)",
    ]


def _wrapped(start: str, rest: str) -> str:
    return textwrap.fill(start + rest, 110, subsequent_indent="    ", break_long_words=False)


def _fitted(kind: Kind, strengths: Sequence[float]) -> str:
    if kind == "means":
        return "NearestCentroid()"
    if len(strengths) == 1:
        return f"make_pipeline(StandardScaler(), LogisticRegression(C={strengths[0]!r}, max_iter=5000, tol=1e-6))"
    return f'GridSearchCV(pipeline, {{"logisticregression__C": {list(strengths)!r}}}, cv=PredefinedSplit(fold[train]))'
