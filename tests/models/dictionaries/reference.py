"""What each architecture computes, in numpy, from the papers and the formats' own words."""

from __future__ import annotations

import numpy as np

from tests.models.dictionaries.made import Array, Case


def encode(case: Case, w: dict[str, Array], x: Array) -> Array:
    """Latents of activations, (..., d_in)."""
    if case.config.get("normalize_activations") == "layer_norm":
        x = x - x.mean(-1, keepdims=True)
        x = x / (x.std(-1, ddof=1, keepdims=True) + 1e-5)
    if case.config.get("normalize_activations") == "constant_norm_rescale":
        x = x * x.shape[-1] ** 0.5 / np.linalg.norm(x, axis=-1, keepdims=True)
    if not case.transcodes and case.config.get("apply_b_dec_to_input", True):
        x = x - w["b_dec"]
    pre = x @ w["W_enc"] + w.get("b_enc", np.float32(0))
    if case.architecture == "gated":
        return (pre + w["b_gate"] > 0) * np.maximum(x @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"], 0)
    if case.config.get("rescale_acts_by_decoder_norm"):
        pre = pre * np.linalg.norm(w["W_dec"], axis=-1)
    if case.architecture in ("topk", "abstopk"):
        size = np.abs(pre) if case.architecture == "abstopk" else pre
        least = np.sort(size, axis=-1)[..., -case.config["k"], None]
        return np.where(size >= least, pre if case.architecture == "abstopk" else np.maximum(pre, 0), 0)
    threshold = w.get("threshold", w.get("topk_threshold", np.float32(0)))
    return np.maximum(pre, 0) * (pre > threshold)


def decode(case: Case, w: dict[str, Array], latents: Array, x: Array) -> Array:
    """Reconstruction of what is at the place that is written."""
    if case.config.get("rescale_acts_by_decoder_norm"):
        latents = latents / np.linalg.norm(w["W_dec"], axis=-1)
    y = latents @ w["W_dec"] + w["b_dec"]
    if case.config.get("normalize_activations") == "layer_norm":
        y = y * x.std(-1, ddof=1, keepdims=True) + x.mean(-1, keepdims=True)
    if case.config.get("normalize_activations") == "constant_norm_rescale":
        y = y * np.linalg.norm(x, axis=-1, keepdims=True) / x.shape[-1] ** 0.5
    return y + x @ w["W_skip"].T if "W_skip" in w else y
