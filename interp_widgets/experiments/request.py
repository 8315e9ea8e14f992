"""What a grid is asked to do, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from interp_widgets.experiments.cells import Cells, Roles, Span, plan_panels
from interp_widgets.experiments.metrics import Metric, Metrics
from interp_widgets.models.access import Access, resolve
from interp_widgets.models.answers import Answers, parse_answers
from interp_widgets.models.families import context_length
from interp_widgets.models.labels import Labels
from interp_widgets.models.numbers import as_plain, is_whole, kind_of
from interp_widgets.models.opening import ModelLike, Opened, open_model
from interp_widgets.models.probe import n_vocab
from interp_widgets.models.prompts import PromptPair, Prompts, parse_pairs, parse_prompts
from interp_widgets.results.errors import AnswerError, SelectionError, SiteError, unknown_name
from interp_widgets.results.panel import COLUMNS, Columns, Panel
from interp_widgets.results.terms import Site, parse_site
from interp_widgets.results.tokens import Tokens

RolesLike: TypeAlias = "Mapping[str, int | Span] | Sequence[Mapping[str, int | Span]] | None"
"""For each pair, or for all of them, role to position or to (start, stop), as in `teaching.prompts`."""

By: TypeAlias = "Columns | Mapping[Site, Columns] | None"
"""What columns are, of all sites or of those that are named; None for what suits a site."""

LayersLike: TypeAlias = "Sequence[int] | int | Mapping[Site, Sequence[int] | int] | None"
"""Which layers the cells are of, of all sites or of those that are named; None for all."""

_NEURONS = 32
"""Neurons of a layer that are run exactly where none are chosen: all of them would take hours."""


@dataclass(frozen=True)
class Options:
    """What is measured, and how much at a time."""

    metrics: Metrics
    top_k: int
    max_rows: int | None
    preview: bool | None = None
    """Whether cells are estimated first; None to do so where it pays."""
    exact: int | None = None
    """How many cells of each layer are run exactly, of each site; None for the default."""


@dataclass(frozen=True)
class Grouping:
    """Which activations make a cell, as a user says it."""

    sites: Site | Sequence[Site] = ("resid_pre",)
    layers: LayersLike = None
    positions: Sequence[int] | int | None = None
    heads: Sequence[int] | int | None = None
    neurons: Sequence[int] | int | None = None
    by: By = None
    window: int = 1
    roles: RolesLike = None
    corrupt_roles: RolesLike = None


@dataclass(frozen=True)
class Request:
    """A grid to compute; all of it is known to make sense for the model."""

    access: Access
    pairs: tuple[PromptPair, ...]
    answers: tuple[int | None, ...]
    """Token id for each pair; None where the model's own top prediction is to stand in."""
    wrong_answers: tuple[int | None, ...]
    cells: Cells
    options: Options
    exact: tuple[int | None, ...]
    """For each panel, how many cells of each layer are run exactly; None for all."""

    @property
    def estimates_asked(self) -> bool:
        """Whether it takes estimates, rather than their being a help while one waits."""
        return bool(self.options.preview) or any(most is not None for most in self.exact)


class Reader:
    """Reads the arguments that experiments share, each refused with its own error."""

    def __init__(self, model: ModelLike, tokenizer: Any | None) -> None:
        self.opened: Opened = open_model(model, tokenizer)
        self._n_vocab = n_vocab(self.opened.module)
        self._context = context_length(self.opened.config)

    def pairs(self, clean: Prompts, corrupt: Prompts, *, aligned: bool) -> tuple[PromptPair, ...]:
        """Read prompts on two sides."""
        return parse_pairs(
            clean,
            corrupt,
            tokenizer=self.opened.tokenizer,
            n_vocab=self._n_vocab,
            context=self._context,
            aligned=aligned,
            names=self.opened.names,
        )

    def prompts(self, prompts: Prompts, name: str) -> tuple[Tokens, ...]:
        """Read prompts that stand alone."""
        return parse_prompts(
            prompts,
            name,
            tokenizer=self.opened.tokenizer,
            n_vocab=self._n_vocab,
            context=self._context,
            names=self.opened.names,
        )

    def request(
        self,
        pairs: Sequence[PromptPair],
        answer: Answers,
        wrong_answer: Answers,
        grouping: Grouping,
        options: Options,
        *,
        host: int,
    ) -> Request:
        """Read what is asked of pairs, and find the sites in the model; `host` is the side that is patched."""
        answers, wrong_answers = (
            parse_answers(given, name, len(pairs), tokenizer=self.opened.tokenizer, n_vocab=self.opened.n_answers)
            for given, name in ((answer, "answer"), (wrong_answer, "wrong_answer"))
        )
        check_answers(answers, wrong_answers, self.opened.answer_labels)
        cells, access = self._cells(pairs, grouping, host)
        exact = tuple(_exact(panel, grouping, options, len(pairs[0].clean)) for panel in cells.panels)
        return Request(access, tuple(pairs), answers, wrong_answers, cells, options, exact)

    def _cells(self, pairs: Sequence[PromptPair], grouping: Grouping, host: int) -> tuple[Cells, Access]:
        sites = parse_sites(grouping.sites)
        n_layers = self.opened.config.num_hidden_layers
        by = _columns(grouping.by, sites)
        layers = _layers(grouping.layers, sites, n_layers)
        if not (is_whole(grouping.window) and 1 <= grouping.window <= n_layers):
            raise SelectionError(f"window={grouping.window!r} must be a number of layers from 1 to {n_layers}.")
        positions = grouping.positions
        if positions is not None:
            positions = chosen_numbers(positions, "positions", len(pairs[0].clean))
        roles = _parse_roles(grouping, pairs, host)
        access = resolve(self.opened)
        for site in sites:
            access.check_site(site)
        panels = tuple(
            panel
            for site in sites
            for panel in plan_panels(
                access,
                (site,),
                layers[site],
                by=by[site],
                heads=_listed(grouping.heads, "heads"),
                neurons=_listed(grouping.neurons, "neurons"),
                roles=tuple(roles[0].host) if roles else (),
            )
        )
        if positions is not None:
            panels = tuple(_at(panel, positions) for panel in panels)
        for panel in panels:
            _check_lengths(panel, pairs, chosen=positions is not None)
        return Cells(panels, positions, roles, int(grouping.window), n_layers), access


def _columns(by: By, sites: Sequence[Site]) -> dict[Site, Columns | None]:
    """Return what the columns of each site are, as far as that is said."""
    named = _by_site("by", by, sites)
    for columns in named.values():
        if columns is not None and columns not in COLUMNS:
            raise unknown_name("by", columns, COLUMNS)
    return named


def _layers(layers: LayersLike, sites: Sequence[Site], n_layers: int) -> dict[Site, tuple[int, ...]]:
    """Return the layers of each site."""
    named = _by_site("layers", layers, sites)
    return {site: chosen_numbers(chosen, "layers", n_layers) for site, chosen in named.items()}


def _by_site(name: str, given: object, sites: Sequence[Site]) -> dict[Site, Any]:
    """Return what is given of each site, whether it is given of all at once or of some by name."""
    if not isinstance(given, Mapping):
        return dict.fromkeys(sites, given)
    for site in given:
        if site not in sites:
            raise unknown_name(f"site in {name}", site, sites)
    return {site: given.get(site) for site in sites}


def _at(panel: Panel, positions: Sequence[int]) -> Panel:
    """Say in the name of a column that is whole layers which positions are meant."""
    if panel.columns != "layer":
        return panel
    noun = "position" if len(positions) == 1 else "positions"
    return replace(panel, labels=(f"{noun} {', '.join(map(str, positions))}",))


def _check_lengths(panel: Panel, pairs: Sequence[PromptPair], *, chosen: bool) -> None:
    """Refuse cells about positions that some prompts do not have; roles tell where they are in each prompt."""
    if panel.columns == "role" and chosen:
        raise SelectionError(
            "positions= and columns that are roles exclude each other, since a role says which positions it is. Leave "
            "one of them out."
        )
    for number, pair in enumerate(pairs):
        sizes = len(pair.clean), len(pair.corrupt)
        if not sizes[1]:
            continue  # one side only; its experiment says what may have which length
        if sizes[0] != sizes[1] and (panel.columns != "role" or panel.site == "pattern"):
            raise SelectionError(
                f"pair {number} has {sizes[0]} tokens in the clean prompt and {sizes[1]} in the corrupt one, so what "
                f"{panel.site} is there cannot be put in the other's place as a whole. "
                + ("Patch z instead." if panel.site == "pattern" else "Use by='role'.")
            )
        if sizes[0] != len(pairs[0].clean) and (panel.columns == "pos" or chosen):
            raise SelectionError(
                f"pair {number} has {sizes[0]} tokens but pair 0 has {len(pairs[0].clean)}, so positions mean "
                "something else in each. Use by='role'."
            )


def parse_options(
    metric: Metric,
    top_k: int,
    max_rows: int | None,
    preview: bool | None = None,
    exact: int | None = None,
) -> Options:
    """Check what is measured."""
    for name, number in (("top_k", top_k), ("max_rows", max_rows), ("exact", exact)):
        if number is None and name != "top_k":
            continue
        if not (is_whole(number) and number >= 1):
            raise ValueError(f"{name}={number!r} must be a whole number from 1 on.")
    if preview not in (True, False, None):
        raise ValueError(f"preview={preview!r} must be True, False, or None to estimate where it pays.")
    if exact is not None and preview is False:
        raise ValueError(f"exact={exact} runs the cells with the largest estimates, so it needs preview=True.")
    return Options(Metrics(metric), top_k, max_rows, preview, exact)


def parse_seed(seed: object) -> int:
    """Return the seed of a random generator."""
    plain = as_plain(seed)
    if not (is_whole(plain) and 0 <= plain < 2**63):
        raise ValueError(f"seed={seed!r} must be a whole number from 0 on.")
    return int(plain)


def parse_sites(sites: Site | Iterable[Site]) -> tuple[Site, ...]:
    """Return sites by name, each once."""
    if not isinstance(sites, Iterable) or isinstance(sites, (bytes, bytearray)):
        raise SiteError(f"sites={sites!r} is {kind_of(sites)}. Name sites, for instance sites=('resid_pre',).")
    listed = (sites,) if isinstance(sites, str) else tuple(sites)
    if not listed:
        raise SiteError("sites is empty. Name at least one, for instance sites=('resid_pre',).")
    return tuple(dict.fromkeys(parse_site(site) for site in listed))


def chosen_numbers(chosen: Iterable[int] | int | None, name: str, size: int) -> tuple[int, ...]:
    """Return the chosen numbers in increasing order; negative ones count from the end."""
    if chosen is None:
        return tuple(range(size))
    listed = _listed(chosen, name, size)
    if not listed:
        raise SelectionError(f"{name} is empty. Leave it out for all {size}, or name at least one.")
    for number in listed:
        if not -size <= number < size:
            raise SelectionError(f"{name} holds {number!r}, but they run from 0 to {size - 1} (or -{size} to -1).")
    return tuple(sorted({number % size for number in listed}))


def _listed(chosen: Iterable[int] | int | None, name: str, size: int | None = None) -> tuple[int, ...] | None:
    if chosen is None:
        return None
    plain = as_plain(chosen)
    if not isinstance(plain, Iterable):
        plain = [plain]
    if isinstance(chosen, (slice, str, bytes)) or any(isinstance(number, slice) for number in plain):
        every = f"range({size}) for all" if size else "range(4)"
        raise SelectionError(f"{name}={chosen!r} is {kind_of(chosen)}. Pass whole numbers, for instance {every}.")
    listed = [as_plain(number) for number in plain]
    for number in listed:
        if not is_whole(number):
            end = f", but they run from 0 to {size - 1} (or -{size} to -1)." if size else ". Pass whole numbers."
            raise SelectionError(f"{name} holds {number!r}{end}")
    return tuple(int(number) for number in listed)


def _parse_roles(grouping: Grouping, pairs: Sequence[PromptPair], host: int) -> tuple[Roles, ...]:
    if grouping.roles is None:
        if grouping.corrupt_roles is not None:
            raise SelectionError("corrupt_roles= needs roles=, the same roles in the clean prompts.")
        return ()
    clean = _spans(grouping.roles, "roles", [pair.clean for pair in pairs])
    corrupt = clean
    if grouping.corrupt_roles is not None:
        corrupt = _spans(grouping.corrupt_roles, "corrupt_roles", [pair.corrupt for pair in pairs])
    elif any(len(pair.clean) != len(pair.corrupt) for pair in pairs if len(pair.corrupt)):
        raise SelectionError(
            "clean and corrupt prompts have different token counts, so that roles are at other positions in the "
            "corrupt ones. Give `corrupt_roles=` too."
        )
    names = tuple(clean[0])
    for number, (left, right) in enumerate(zip(clean, corrupt, strict=True)):
        for side, roles in (("roles", left), ("corrupt_roles", right)):
            if set(roles) != set(names):
                raise SelectionError(
                    f"{side} of pair {number} are {', '.join(roles)}, but those of pair 0 are {', '.join(names)}. "
                    "Give the same roles for every pair."
                )
        for name in names:
            sizes = [stop - start for start, stop in (left[name], right[name])]
            if sizes[0] != sizes[1]:
                raise SelectionError(
                    f"role {name} of pair {number} is {sizes[0]} tokens long in the clean prompt and {sizes[1]} in the "
                    "corrupt one, so its positions cannot be matched. Choose spans of equal length, such as the last "
                    "token of each."
                )
    sides = (corrupt, clean) if host else (clean, corrupt)
    return tuple(Roles(of_host, of_donor) for of_host, of_donor in zip(*sides, strict=True))


def _spans(given: RolesLike, name: str, prompts: Sequence[Tokens]) -> list[dict[str, Span]]:
    listed = [given] * len(prompts) if isinstance(given, Mapping) else list(cast("Sequence[Any]", given))
    if len(listed) != len(prompts):
        raise SelectionError(
            f"{len(listed)} {name} for {len(prompts)} pairs of prompts. Pass one mapping for each pair."
        )
    if not all(isinstance(roles, Mapping) and roles for roles in listed):
        raise SelectionError(
            f"{name} holds {next(r for r in listed if not r)!r}. Map each role to its positions, such as {{'END': -1}}."
        )
    return [
        {str(role): _span(place, f"{name}[{role!r}] of pair {number}", len(tokens)) for role, place in roles.items()}
        for number, (roles, tokens) in enumerate(zip(listed, prompts, strict=True))
    ]


def _span(place: int | Span, what: str, length: int) -> Span:
    plain = as_plain(place)
    if is_whole(plain) and -length <= plain < length:
        return int(plain) % length, int(plain) % length + 1
    if isinstance(plain, tuple) and len(plain) == 2 and all(is_whole(end) for end in plain):
        start, stop = (int(end) for end in plain)
        if 0 <= start < stop <= length:
            return start, stop
    raise SelectionError(
        f"{what} is {place!r}. Give a position, or (start, stop) with 0 <= start < stop <= {length}, the length of the "
        "prompt."
    )


def _exact(panel: Panel, grouping: Grouping, options: Options, length: int) -> int | None:
    """Return how many cells of a layer are run exactly, None for all of them."""
    most = options.exact
    if most is None and panel.columns == "neuron" and grouping.neurons is None and options.preview is not False:
        most = _NEURONS
    cells = len(panel.lines) // len(panel.layers) * panel.width(length)
    return None if most is None or most >= cells else most


def check_answers(answers: Sequence[int | None], wrong: Sequence[int | None], labels: Labels) -> None:
    """Refuse an answer that is the wrong answer too.

    Raises:
        AnswerError: the two are the same token.
    """
    for number, (right, other) in enumerate(zip(answers, wrong, strict=True)):
        if right is not None and right == other:
            where = f"of pair {number} " if len(answers) > 1 else ""
            raise AnswerError(
                f"The answer and the wrong answer {where}are the same token, [{labels(right)}], so they cannot be told "
                "apart. Give the token that each prompt calls for."
            )
