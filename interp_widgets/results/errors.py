"""Every exception of the package. Each message says what was given, why it cannot work and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InterpWidgetsError(Exception):
    """Base of all errors raised by this package."""


class PromptError(InterpWidgetsError, ValueError):
    """Prompts that cannot be compared: empty, too long, identical, or of unequal token counts."""


class AnswerError(InterpWidgetsError, ValueError):
    """An answer that is not exactly one token of the model's vocabulary."""


class UnknownNameError(InterpWidgetsError, ValueError):
    """A site, direction, metric or other name that does not exist; the message names the nearest ones."""


class NoGapError(InterpWidgetsError, ValueError):
    """The two runs score the same, so no share of the gap between them can be computed."""


class NonFiniteError(InterpWidgetsError, ArithmeticError):
    """The model produced NaN or infinity; the message names the first layer where it did."""


class MetricError(InterpWidgetsError, ValueError):
    """A metric that failed or returned something other than one number a row."""


class ModelError(InterpWidgetsError, TypeError):
    """A model that cannot be used as given, with the way to pass it that works."""


class SiteError(InterpWidgetsError, ValueError):
    """A site that exists in general but not in this architecture."""


class ResultError(InterpWidgetsError, ValueError):
    """A result that lacks what was asked of it, or a file that holds no such result."""


class FeatureError(InterpWidgetsError, ValueError):
    """Latents that cannot be used: a file that is no dictionary of them, or one that does not belong to the model."""


class SelectionError(InterpWidgetsError, ValueError):
    """A layer, position or cell that the model, the prompts or the grid do not have."""


class LabelError(InterpWidgetsError, ValueError):
    """Labels that no probe can be fitted to or tested on: of one class, too few of one, or not one for each text."""


class RemoteRunError(InterpWidgetsError, RuntimeError):
    """A run on a server that could not be started or finished: no server, a lost connection, or the server's error."""


class MissingPackageError(InterpWidgetsError, ImportError):
    """A package that only some of the work needs and that is not installed, with the way to install it."""


def unknown_name(kind: str, given: object, valid: Iterable[str]) -> UnknownNameError:
    """Say that `given` is no known `kind`, naming the nearest valid names first.

    >>> print(unknown_name("site", "resid_pst", ["resid_pre", "resid_post"]))
    unknown site 'resid_pst': did you mean 'resid_post' or 'resid_pre'? Valid sites: resid_pre, resid_post.
    """
    names = list(valid)
    near = difflib.get_close_matches(str(given), names, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(repr(name) for name in near)}? " if near else ""
    return UnknownNameError(f"unknown {kind} {given!r}: {hint}Valid {kind}s: {', '.join(names)}.")
