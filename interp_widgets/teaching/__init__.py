"""A bundled model to learn, test and demonstrate with: small, offline, and with circuits that were measured.

    >>> from interp_widgets import teaching
    >>> model = teaching.load()
    >>> pairs = teaching.prompts("ioi", n=8)
    >>> sae = teaching.sae()

Importing this module imports torch and transformers' model classes, which takes seconds; loading then takes a tenth of
one.
"""

from .loading import load, sae
from .pairs import PromptPair, PromptSet, Span
from .prompt_sets import Task, prompts

__all__ = ["PromptPair", "PromptSet", "Span", "Task", "load", "prompts", "sae"]
