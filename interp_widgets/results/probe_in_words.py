"""How well probes read labels, and where first, in words."""

from __future__ import annotations

from interp_widgets.results.probe import KINDS, ProbeResult


def summary(result: ProbeResult) -> str:
    """Return what `ProbeResult.summary` does."""
    lines = [
        f"{result.shape_in_words()} of {result.provenance.model}; always naming the commonest class: "
        f"{result.majority:.2f}."
    ]
    low, high = result.interval()
    for number, kind in enumerate(result.kinds):
        if not result.computed.any():
            continue
        best = result.best(kind)
        at = (number, *result.find(best["layer"], best["pos"], best["site"]))
        line = (
            f"{KINDS[kind].label}: best at {best['site']} of layer {best['layer']}, {result.where(at[2])}: accuracy "
            f"{result.value()[at]:.2f} [{low[at]:.2f}, {high[at]:.2f}]"
        )
        if result.control is not None:
            line += f", control {result.control_value()[at]:.2f}, selectivity {result.selectivity()[at]:.2f}"
        lines.append(line)
        lines += [f"  on {other.name}: {result.transferred(other.name)[at]:.2f}" for other in result.transfers]
    lines += [f"not tested {result.where(column)}: {reason}" for column, reason in result.untested.items()]
    return "\n".join(lines)
