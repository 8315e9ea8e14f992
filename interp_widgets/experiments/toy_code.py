"""The printed lines that train one toy model by itself, to what it came to beside all others."""

from __future__ import annotations

from interp_widgets.experiments.toy_models import ToyTask


def toy_code(task: ToyTask) -> str:
    """Return the lines as a template with `$probability` and `$model`."""
    n = task.n_features
    grouped = task.gates != list(range(n))
    excluding = any(task.turns)
    gate = f"torch.rand(rows, {n}, generator=random)" + (f"[:, {task.gates}]" if grouped else "")
    on = "(gate >= first) & (gate < first + probability)" if excluding else "gate < probability"
    first = [f"first = probability * torch.tensor({task.turns})  # features that exclude each other take turns"]
    out = "x @ W.T @ W + b"
    rate = f"{task.learning_rate!r} * (1 + math.cos(math.pi * step / {task.steps})) / 2"
    lines = [
        "import math",
        "import torch",
        "",
        "probability = $probability  # that a feature is on",
        f"importance = {task.importance_decay!r} ** torch.arange({n})",
        *(first if excluding else []),
        f"random = torch.Generator().manual_seed({task.seed})",
        "",
        "",
        "def examples(rows):",
        f"    gate = {gate}",
        f"    value = torch.rand(rows, {n}, generator=random)",
        f"    return value * ({on})",
        "",
        "",
        f"W = torch.randn({task.models}, {task.n_hidden}, {n}, generator=random)[$model] * {n}**-0.5",
        f"b = torch.zeros({n})",
        "optimizer = torch.optim.Adam([W.requires_grad_(), b.requires_grad_()])",
        f"for step in range({task.steps}):",
        f'    optimizer.param_groups[0]["lr"] = {rate}',
        f"    x = examples({task.batch})",
        f"    out = {f'torch.relu({out})' if task.activation == 'relu' else out}",
        "    loss = (importance * (out - x) ** 2).sum(-1).mean()",
        "    optimizer.zero_grad()",
        "    loss.backward()",
        "    optimizer.step()",
        "",
        "W = W.detach()",
        "norm = W.norm(dim=0)",
        "print(norm)  # how much of each feature is kept",
        "print(norm**4 / ((W.T @ W) ** 2).sum(-1))  # the share of a dimension that it has to itself",
    ]
    return "\n".join(lines) + "\n"
