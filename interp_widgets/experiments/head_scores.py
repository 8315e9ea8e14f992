"""Score every head by what it does: the token before, the same token, induction, copying, moving names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from interp_widgets.experiments.finish import finish
from interp_widgets.experiments.ledger import Ledger
from interp_widgets.experiments.over import over
from interp_widgets.experiments.remote import runs_remotely
from interp_widgets.experiments.request import check_answers, chosen_numbers, parse_seed
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.copying import Copying
from interp_widgets.models.families import context_length
from interp_widgets.models.heads import Columns
from interp_widgets.models.numbers import is_whole
from interp_widgets.models.opening import ModelLike, Opened, open_model
from interp_widgets.models.patterns import scan
from interp_widgets.models.probe import n_vocab
from interp_widgets.models.prompts import Prompts, parse_prompts
from interp_widgets.models.straight import Straight
from interp_widgets.results.errors import AnswerError, PromptError
from interp_widgets.results.head_scores import SCORES, HeadScores
from interp_widgets.results.tokens import Tokens

if TYPE_CHECKING:
    from interp_widgets.models.remote import Remote

_REPEATED = ("previous_token", "duplicate_token", "induction")
_COPYING = ("copying", "copying_top")
_NAMES = ("name_attention", "name_copying", "name_mover")
_LENGTH, _LEAST = 20, 2
"""Tokens of a copy by default, and at least."""
_ROWS = 16
_TOKENS = 256
"""Tokens whose copying is tested."""


@runs_remotely
def head_scores(
    model: ModelLike,
    prompts: Prompts | None = None,
    *,
    answer: Answers = None,
    wrong_answer: Answers = None,
    layers: Iterable[int] | int | None = None,
    n_sequences: int = 64,
    length: int | None = None,
    copying: bool = True,
    seed: int = 0,
    tokenizer: Any | None = None,
    remote: Remote = False,
) -> Generator[HeadScores, None, HeadScores]:
    """Check the arguments at once, and return a generator that scores heads layer by layer.

    Arguments and errors are those of `run_head_scores`. Every partial result has all heads, with NaN where a score has
    not been computed yet; the last one is returned.

    Yields:
        The result so far.
    """
    for name, number, least in (
        ("n_sequences", n_sequences, 1),
        ("length", _LENGTH if length is None else length, _LEAST),
    ):
        if not (is_whole(number) and number >= least):
            raise ValueError(f"{name}={number!r} must be a whole number from {least} on.")
    if copying not in (True, False):
        raise ValueError(f"copying={copying!r} must be True or False.")
    seed = parse_seed(seed)
    opened = open_model(model, tokenizer)
    named = _Names(opened, prompts, answer, wrong_answer)
    access = resolve(opened)
    access.check_site("pattern")
    repeated = _Repeated(opened, int(n_sequences), length, seed)
    chosen = chosen_numbers(layers, "layers", access.n_layers)
    return _Scoring(access, chosen, repeated, named, bool(copying)).steps()


@over(head_scores)
def run_head_scores(steps: Generator[HeadScores, None, HeadScores]) -> HeadScores:
    """Score every head by what it does: the token before, the same token, induction, copying, moving names.

    `interp_widgets.results.head_scores.SCORES` has the definition, source, range and baseline of each score. Attention
    is scored on random tokens that are said twice (none of them twice within a copy), where nothing but their places
    and identities can be attended to. A score says where a head looks or what its weights would copy, not what the
    model uses it for: patch it to see.

    Args:
        model: nnsight's `TransformersModel` or `NNsight`, a Hugging Face causal language model, a local folder, or a
            repository id.
        prompts: what name movers are looked for in: prompts that end before the answer and hold both the answer and the
            wrong one, such as those of indirect object identification. Without them the `name_` scores are left out.
        answer: one token for each prompt, or one for all.
        wrong_answer: likewise.
        layers: which; all by default.
        n_sequences: how many random sequences; intervals are over them.
        length: tokens of a copy: by default 20, or as many as the vocabulary and the context hold twice.
        copying: whether to read copying off the weights.
        seed: of the random sequences.
        tokenizer: of a model that comes without one. It is needed for text only.
        remote: where to run: here by default, True for NDIF, the address of another server such as "https://host", or
            an nnsight `RemoteBackend`.

    Returns:
        Scores of all heads with intervals and baselines. After an interrupt or an error, `sys.last_value.partial` is
        what was scored until then.

    Raises:
        PromptError: empty text, sequences longer than the model's context, or prompts without their answers in them.
        AnswerError: prompts without answers, answers without prompts, an answer that is not one token, or the same as
            the wrong answer.
        SelectionError: a layer that does not exist.
        SiteError: an architecture whose patterns cannot be read.
        ModelError: a model that cannot be read.
        NonFiniteError: NaN or infinity, with the layer where it appears.

    Example:
        >>> from interp_widgets import run_head_scores, teaching
        >>> scores = run_head_scores(teaching.load(), copying=False)
        >>> [(layer, head) for layer, head, _ in scores.named("induction")]
        [(3, 3), (2, 0)]

    References:
        Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits" (copying by eigenvalues).
        Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv:2209.11895 (previous-token and induction
            heads; its prefix matching score).
        Wang et al. 2022, "Interpretability in the Wild: a Circuit for Indirect Object Identification in GPT-2 small",
            arXiv:2211.00593 (duplicate-token heads, name movers and their copy score).
    """
    return finish(steps)


class _Repeated:
    """Random tokens said twice, behind what the tokenizer puts before every text."""

    def __init__(self, opened: Opened, n_sequences: int, asked: int | None, seed: int) -> None:
        tokenizer = opened.tokenizer
        special = set(getattr(tokenizer, "all_special_ids", ()))
        lead = [] if tokenizer is None else list(tokenizer("", verbose=False)["input_ids"])
        if lead and lead[-1] == getattr(tokenizer, "eos_token_id", None) != getattr(tokenizer, "bos_token_id", None):
            lead = lead[:-1]  # what ends every text
        usable = torch.tensor([token for token in range(n_vocab(opened.module)) if token not in special])
        context = context_length(opened.config)
        most = len(usable) if context is None else min(len(usable), (context - len(lead)) // 2)
        length = min(_LENGTH, most) if asked is None else int(asked)
        if length > most or length < _LEAST:
            wanted = f"{_LEAST} or more" if asked is None else f"length={length}"
            smaller = " Pass a smaller length=." if most >= _LEAST else ""
            raise PromptError(
                f"{wanted} tokens said twice do not fit: the vocabulary and the context of {opened.name} allow "
                f"{most}.{smaller}"
            )
        generator = torch.Generator().manual_seed(seed)
        once = torch.stack(
            [usable[torch.randperm(len(usable), generator=generator)[:length]] for _ in range(n_sequences)]
        )
        first = torch.tensor(lead, dtype=once.dtype).expand(n_sequences, -1)
        self.tokens = usable[torch.randperm(len(usable), generator=generator)[:_TOKENS]]
        """Some of the vocabulary."""
        self.ids = torch.cat([first, once, once], dim=1).to(opened.device)
        start, second = len(lead), torch.arange(len(lead) + length, len(lead) + 2 * length)
        early = torch.arange(start + 1, start + length)
        self.places = {
            "previous_token": (early, early - 1),
            "duplicate_token": (second, second - length),
            "induction": (second, second - length + 1),
        }
        """By score: queries and keys."""
        self.words = f"{n_sequences} sequences of {length} random tokens said twice, seed {seed}"


class _Names:
    """Prompts with their answers, and where those stand."""

    def __init__(self, opened: Opened, prompts: Prompts | None, answer: Answers, wrong_answer: Answers) -> None:
        self.prompts: tuple[Tokens, ...] = ()
        if (prompts is None, answer is None, wrong_answer is None).count(True) not in (0, 3):
            raise AnswerError("prompts=, answer= and wrong_answer= belong together. Pass all of them, or none.")
        if prompts is None:
            return
        vocabulary = n_vocab(opened.module)
        self.prompts = parse_prompts(
            prompts,
            "clean",
            tokenizer=opened.tokenizer,
            n_vocab=vocabulary,
            context=context_length(opened.config),
            names=opened.names,
        )
        asked = [
            parse_answers(given, name, len(self.prompts), tokenizer=opened.tokenizer, n_vocab=vocabulary)
            for given, name in ((answer, "answer"), (wrong_answer, "wrong_answer"))
        ]
        right, wrong = asked
        check_answers(right, wrong, opened.labels)
        self.answers = [int(token) for token in right if token is not None]
        self.right = [self._places(n, token, "answer") for n, token in enumerate(self.answers)]
        self.wrong = [self._places(n, int(token or 0), "wrong answer")[0] for n, token in enumerate(wrong)]

    def _places(self, number: int, token: int, what: str) -> list[int]:
        ids = self.prompts[number].ids
        places = [place for place, one in enumerate(ids) if one == token]
        if not places:
            raise PromptError(
                f"Prompt {number} does not hold its {what}, token {token}: a name mover looks for it there. Pass "
                "prompts in which both answers stand, with their leading spaces."
            )
        return places


class _Scoring:
    """Heads on their way to their scores."""

    def __init__(
        self, access: Access, layers: Sequence[int], repeated: _Repeated, names: _Names, copying: bool
    ) -> None:
        self._access = access
        self._layers = tuple(layers)
        self._repeated = repeated
        self._names = names
        self._missing: dict[str, str] = {}
        self._baselines: dict[str, float] = {}
        self._samples: dict[str, NDArray[np.float32]] = {}
        self._copying = Copying(access, Straight(access))
        n_heads = access.head_count("pattern")
        reason = self._copying.missing(self._layers) if copying or names.prompts else None
        sizes = dict.fromkeys(_REPEATED, len(repeated.ids))
        if not copying or reason:
            self._missing |= dict.fromkeys(_COPYING, reason or "copying=False was passed.")
        else:
            sizes |= {"copying": 1, "copying_top": len(repeated.tokens)}
        if not names.prompts:
            self._missing |= dict.fromkeys(_NAMES, "it takes prompts=, answer= and wrong_answer=.")
        else:
            sizes |= dict.fromkeys(_NAMES if not reason else _NAMES[:1], len(names.prompts))
            self._missing |= dict.fromkeys(_NAMES[1:], reason) if reason else {}
        for name in SCORES:
            if name in sizes:
                self._samples[name] = np.full((sizes[name], len(self._layers), n_heads), np.nan, np.float32)
        by_chance = 5 / access.n_vocab
        self._baselines |= {"copying": float("nan"), "copying_top": by_chance, "name_copying": by_chance}
        for name, (queries, _) in repeated.places.items():
            seen = queries + 1 if access.causal else torch.full_like(queries, repeated.ids.shape[1])
            self._baselines[name] = float((1 / seen).mean())
        if names.prompts:
            even = [(len(right) - 1) / len(tokens) for right, tokens in zip(names.right, names.prompts, strict=True)]
            self._baselines |= dict.fromkeys(("name_attention", "name_mover"), float(np.mean(even)))
        self._ledger = Ledger(access.opened, {"scored on": repeated.words})

    def steps(self) -> Generator[HeadScores, None, HeadScores]:
        return self._ledger.steps(self._work(), self._result)

    def _work(self) -> Generator[None, None, None]:
        yield
        yield from self._score_repeated()
        if "copying" in self._samples:
            yield from self._score_copying()
        if self._names.prompts:
            yield from self._score_names()

    def _score_repeated(self) -> Generator[None, None, None]:
        ids, places = self._repeated.ids, self._repeated.places
        found: dict[str, list[torch.Tensor]] = {}

        def use(_layer: int, part: Columns) -> None:
            stop = part.first + part.weights.shape[-1]
            for name, (queries, keys) in places.items():
                here = (keys >= part.first) & (keys < stop)
                weights = part.weights[:, :, queries[here], keys[here] - part.first]
                found[name][-1] += weights.float().sum(-1).cpu() / len(keys)

        portions = torch.split(ids, _ROWS)
        scans = [scan(self._access, some, self._layers, use) for some in portions]
        n_heads = self._access.head_count("pattern")
        for number, layer in enumerate(self._layers):
            found.clear()
            found.update({name: [] for name in places})
            for reading, some in zip(scans, portions, strict=True):
                for sums in found.values():
                    sums.append(torch.zeros(len(some), n_heads))
                next(reading)
            for name, sums in found.items():
                self._samples[name][:, number] = torch.cat(sums).numpy()
            self._count(len(ids), number, layer)
            yield

    def _score_copying(self) -> Generator[None, None, None]:
        tokens = self._repeated.tokens
        rows = self._copying.embedded(tokens)
        shuffled = []
        for number, layer in enumerate(self._layers):
            self._samples["copying"][0, number] = self._copying.eigenvalue_scores(layer).numpy()
            shuffled.append(self._copying.eigenvalue_scores(layer, shuffled=True))
            self._baselines["copying"] = float(torch.stack(shuffled).mean())
            self._samples["copying_top"][:, number] = self._copying.among_top(layer, rows, tokens).numpy()
            yield

    def _score_names(self) -> Generator[None, None, None]:
        names, access = self._names, self._access
        lengths: dict[int, list[int]] = defaultdict(list)
        for number, tokens in enumerate(names.prompts):
            lengths[len(tokens)].append(number)
        for length, members in lengths.items():
            for start in range(0, len(members), _ROWS):
                some = members[start : start + _ROWS]
                ids = torch.tensor([names.prompts[number].ids for number in some], device=access.opened.device)
                last = torch.zeros(len(some), access.head_count("pattern"), length)

                def use(_layer: int, part: Columns, last: torch.Tensor = last) -> None:
                    stop = part.first + part.weights.shape[-1]
                    last[..., part.first : stop] = part.weights[:, :, -1].float().cpu()

                streams = access.read(ids, ()).stream if "name_copying" in self._samples else None
                self._ledger.passes += len(some) if streams else 0
                for at, layer in enumerate(scan(access, ids, self._layers, use)):
                    self._count(len(some), at, layer)
                    gaps = [
                        last[row, :, names.right[number]].sum(-1) - last[row, :, names.wrong[number]]
                        for row, number in enumerate(some)
                    ]
                    gap = torch.stack(gaps).numpy()
                    self._samples["name_attention"][some, at] = gap
                    if streams is not None:
                        stream = streams[min(1, layer)]
                        rows = torch.stack([stream[row, names.right[number][0]] for row, number in enumerate(some)])
                        answers = torch.tensor([names.answers[number] for number in some])
                        copied = self._copying.among_top(layer, rows.float(), answers).numpy()
                        self._samples["name_copying"][some, at] = copied
                        self._samples["name_mover"][some, at] = gap * copied
                    yield

    def _count(self, rows: int, number: int, layer: int) -> None:
        before = self._layers[number - 1] if number and not self._access.edited else -1
        self._ledger.passes += rows * (layer - before) / self._access.n_layers

    def _result(self) -> HeadScores:
        samples = {name: array.copy() for name, array in self._samples.items()}
        for array in samples.values():
            array.setflags(write=False)
        return HeadScores(
            layers=self._layers,
            samples=samples,
            baselines={name: self._baselines[name] for name in samples},
            missing={name: self._missing[name] for name in SCORES if name in self._missing},
            prompts=self._names.prompts,
            provenance=self._ledger.provenance(),
        )
