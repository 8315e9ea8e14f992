"""The neurons of a model's own MLP, as a dictionary."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import nn

from interp_widgets.models.access import Access
from interp_widgets.models.dictionaries.dictionary import Dictionary
from interp_widgets.models.fingerprint import fingerprint
from interp_widgets.models.guard import exclusive
from interp_widgets.models.norms import apply_norm, rms_gain
from interp_widgets.models.probe import close, probe_ids
from interp_widgets.results.dictionary import DictionaryInfo, Place
from interp_widgets.results.errors import FeatureError

_ROWS = 256
"""How many neurons are sent through the MLP at once where the weights of its last projection cannot be read."""


class Neurons(Dictionary):
    """The MLP's neurons, after nonlinearity and gate: each latent is one of them, as it is.

    They write what the MLP's last projection makes of them, in units of the stream; a norm that follows it, as in
    Gemma 2, counts as the normalisation that is undone.
    """

    def __init__(self, access: Access, layer: int) -> None:
        """Take the neurons of a layer; what they write is looked at once it is asked for.

        Raises:
            SiteError: the architecture has no neurons.
        """
        access.check_site("mlp_post")
        self._access, self._layer = access, layer
        self._down, self._norm = _ending(access, layer)
        d_mlp = access.d_mlp or 0
        self.info = DictionaryInfo(
            name=f"neurons of layer {layer}",
            kind="neurons",
            reads=Place("mlp_post", layer),
            writes=Place("mlp_out", layer),
            n_latents=d_mlp,
            d_in=d_mlp,
            normalised="",
            fingerprint=fingerprint(access.anatomy.blocks[layer]),
            signed=True,
        )
        self._failure: FeatureError | None = None
        if self._down is None:  # found by traces, which could not begin inside another
            try:
                _ = self._projection
            except FeatureError as error:
                self._failure = error

    def encode(self, activations: torch.Tensor) -> torch.Tensor:
        """Return the neurons."""
        return activations.float()

    def encode_some(self, activations: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        """Return some neurons."""
        return activations[..., latents.to(activations.device)].float()

    def decode(self, latents: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return what the MLP adds, (..., d_model), if its neurons are the latents."""
        projected = self._projected(latents)
        added = projected if self._norm is None else apply_norm(self._access, self._norm, projected)
        return added * self._access.scale

    @property
    def decoder(self) -> torch.Tensor:
        """(d_mlp, d_model): what one unit of each neuron adds to the stream, before a norm that follows divides it.

        Raises:
            FeatureError: what the MLP adds is not linear in its neurons.
        """
        return self._rows

    @property
    def encoder(self) -> None:
        """None: a neuron is read as it is, whatever leads to it."""
        return

    def scale(self, activations: torch.Tensor) -> torch.Tensor:
        """(..., 1): what the norm after the projection multiplies at each token; 1 where there is none."""
        if self._norm is None:
            return super().scale(activations)
        projected = self._projected(activations.float())
        gained = projected * self._gain.to(projected.device)
        return (apply_norm(self._access, self._norm, projected) * gained).sum(-1, keepdim=True) / gained.square().sum(
            -1, keepdim=True
        )

    def moved(self, latent: int, by: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
        """Return what changes at the written place, (..., d_out), when one neuron changes by `by`, (...)."""
        if self._norm is None:
            return super().moved(latent, by, activations)
        changed = activations.float().clone()
        changed[..., latent] += by
        return self.decode(changed, activations) - self.decode(activations.float(), activations)

    def _projected(self, neurons: torch.Tensor) -> torch.Tensor:
        rows, bias = self._projection
        return neurons @ rows.to(neurons.device) + bias.to(neurons.device)

    @cached_property
    def _rows(self) -> torch.Tensor:
        rows = self._projection[0] * self._access.scale
        return rows if self._norm is None else rows * self._gain

    @cached_property
    def _gain(self) -> torch.Tensor:
        """What the norm multiplies each number by, once their root mean square is 1."""
        assert self._norm is not None
        gain = rms_gain(self._access, self._norm, self._projection[0].shape[1])
        if gain is None:
            raise FeatureError(
                f"A {type(self._norm).__name__} follows the neurons of {self.info.reads}, and does more than divide "
                "by their root mean square, so that one neuron's part in what the MLP adds cannot be told."
            )
        return gain

    @cached_property
    @torch.no_grad()
    def _projection(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights, (d_mlp, d_model), and bias of the last projection, float32."""
        if self._failure is not None:
            raise self._failure
        if self._down is None:
            return self._traced()
        project = self._access.envoy_of(self._down)  # a trace would watch the module itself
        zeros = torch.zeros(1, self.info.n_latents).to(_like(self._down))
        bias = project(zeros)[0].float()
        noise = torch.randn(4, zeros.shape[1], generator=torch.Generator().manual_seed(0)).to(zeros)
        weight = getattr(self._down, "weight", None)
        if isinstance(weight, torch.Tensor) and weight.is_floating_point() and weight.ndim == 2:
            for rows in (weight.T, weight):  # a Linear has outputs first, a Conv1D inputs
                fits = rows.shape == (len(noise[0]), len(bias))
                if fits and _agree(noise.float() @ rows.float() + bias, project(noise)):
                    return rows.detach().float(), bias
        rows = torch.cat([project(units.to(zeros)).float() - bias for units in _units(zeros.shape[1], _ROWS)])
        return rows, bias

    def _traced(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Send one neuron at a time through the model's own MLP, many of them beside each other."""
        width = self.info.n_latents
        ids = probe_ids(self._access.opened.module)[:1]
        each = ids.shape[1]
        bias = self._added(ids, torch.zeros(1, each, width))[0, 0]
        rows, generator = [], torch.Generator().manual_seed(0)
        for units in _units(width, each * (_ROWS // each)):
            batch = nn.functional.pad(units, (0, 0, 0, -len(units) % each)).reshape(-1, each, width)
            added = self._added(ids.expand(len(batch), -1), batch)
            rows.append(added.flatten(0, 1)[: len(units)] - bias)
        found = torch.cat(rows)
        noise = torch.randn(1, each, width, generator=generator)
        if not close(self._added(ids, noise), noise.to(found) @ found + bias):
            raise FeatureError(
                f"What {self._access.opened.name} adds is not linear in the neurons of {self.info.reads}: something "
                "else, such as a norm, follows the last projection. Reading these latents works, acting on them does "
                "not."
            )
        return found / self._access.scale, bias / self._access.scale

    def _added(self, ids: torch.Tensor, neurons: torch.Tensor) -> torch.Tensor:
        access, layer = self._access, self._access.layers[self._layer]
        found: list[torch.Tensor] = []
        with exclusive(access.opened.module), access.model.trace(input_ids=ids, **access.options()) as tracer:
            stream = layer.block.input
            layer.write({"mlp_post": lambda old: neurons.to(old)}, stream)
            found.append(layer.read({"mlp_out"}, stream)["mlp_out"].float())
            tracer.stop()
        return found[0]


def _ending(access: Access, layer: int) -> tuple[nn.Module | None, nn.Module | None]:
    """Return the last projection, None behind a hook point, and the norm after it if there is one."""
    parts, down = access.anatomy.parts, access.inside.down
    assert parts is not None
    block = access.anatomy.blocks[layer]
    projection = block.get_submodule(down)
    zeros = torch.ones(1, access.d_mlp or 0).to(_like(projection))
    with torch.no_grad():
        if projection(zeros).shape == zeros.shape and torch.equal(projection(zeros), zeros):
            return None, None
    inside = down == parts.mlp or down.startswith(f"{parts.mlp}.")
    return projection, None if inside else block.get_submodule(parts.mlp)


def _like(module: nn.Module) -> torch.Tensor:
    return next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))


def _units(count: int, at_once: int) -> list[torch.Tensor]:
    starts = range(0, count, at_once)
    return [torch.eye(min(at_once, count - first), count).roll(first, 1) for first in starts]


def _agree(left: torch.Tensor, right: torch.Tensor) -> bool:
    allowed = 16 * torch.finfo(right.dtype).eps * float(right.float().abs().max())
    return float((left - right.float()).abs().max()) <= max(allowed, 1e-5 * float(right.float().abs().max()))
