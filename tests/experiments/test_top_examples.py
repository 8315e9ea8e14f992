"""The strongest examples of latents, against sorting everything."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from interp_widgets import run_top_examples, teaching
from interp_widgets.experiments.strongest import Spread, Stretches, Strongest
from interp_widgets.experiments.top_examples import top_examples
from interp_widgets.results.errors import NonFiniteError, PromptError, SelectionError
from interp_widgets.results.examples import ExamplesResult
from interp_widgets.teaching.corpus import passages
from tests.latents import Sparse, hooked

MODEL = teaching.load()
NET = MODEL._module
CORPUS = [passage.text for passage in islice(passages(random.Random(0)), 60)]


def ids_of(text: str) -> list[int]:
    ids: list[int] = MODEL.tokenizer(text, verbose=False)["input_ids"]
    return ids


def encoded(sae: Sparse, corpus: list[str]) -> list[np.ndarray[Any, Any]]:
    found = [sae.encode(hooked(NET, "transformer.h.1", torch.tensor([ids_of(text)])))[0] for text in corpus]
    return [part.numpy() for part in found]


@pytest.mark.parametrize("max_tokens", [None, 64, 200])
def test_examples_are_those_that_sorting_everything_finds(max_tokens: int | None) -> None:
    sae = Sparse(n=64)
    whole = encoded(sae, CORPUS)
    assert all(len(part) <= 64 for part in whole)
    result = run_top_examples(MODEL, sae, CORPUS, k=4, window=(3, 2), max_tokens=max_tokens)
    assert (result.n_tokens, result.n_documents) == (sum(map(len, whole)), len(CORPUS))
    assert result.complete
    for latent in range(64):
        peaks = [(float(part[:, latent].max()), n, int(part[:, latent].argmax())) for n, part in enumerate(whole)]
        best = sorted((peak for peak in peaks if peak[0] > 0), key=lambda peak: (-peak[0], peak[1]))[:4]
        examples = result.examples(latent)
        assert [example.document for example in examples] == [document for _, document, _ in best]
        for example, (value, document, position) in zip(examples, best, strict=True):
            start, stop = max(0, position - 3), min(len(whole[document]), position + 3)
            ids = tuple(ids_of(CORPUS[document])[start:stop])
            assert example.tokens.ids == ids
            assert example.tokens.labels == tuple(map(MODEL_LABELS, ids))
            assert example.peak == position - start
            assert example.activations[example.peak] == pytest.approx(value, rel=1e-4)
            np.testing.assert_allclose(example.activations, whole[document][start:stop, latent], rtol=1e-4, atol=1e-5)
        column = np.concatenate([part[:, latent] for part in whole])
        row = result.card(latent)
        assert result.fires[latent] == (column > 0).sum()
        assert row.density == pytest.approx((column > 0).mean())
        assert result.maximum[latent] == pytest.approx(column.max(), rel=1e-4)
        assert row.histogram is not None
        fired = column[column > 0]
        assert row.histogram.counts.sum() == len(fired)
        if len(fired):
            # Rounding may carry a number over an edge.
            expected = np.histogram(fired, row.histogram.edges)[0]
            assert np.abs(np.cumsum(row.histogram.counts) - np.cumsum(expected)).max() <= 1


def MODEL_LABELS(token: int) -> str:  # noqa: N802
    from interp_widgets.models.labels import Labels

    return Labels(MODEL.tokenizer)(token)


def rows_of(values: list[list[list[float]]], documents: list[int], n: int = 2) -> Stretches:
    """Rows of four tokens, whose ids say where they are: ten times the document, and the position."""
    activations = torch.tensor(values)
    assert activations.shape[1:] == (4, n)
    ids = torch.tensor([[10 * document + place for place in range(4)] for document in documents])
    shape = ids.shape
    lengths, offsets = torch.full(shape[:1], 4), torch.zeros(shape[:1], dtype=torch.int64)
    return Stretches(ids, torch.ones(shape, dtype=torch.bool), lengths, torch.tensor(documents), offsets, activations)


def row(*first: float) -> list[list[float]]:
    return [[float(value), float(-value)] for value in first]


def test_of_equals_the_first_in_the_corpus_is_kept_in_whatever_order_they_come() -> None:
    for order in ([0, 1, 2, 3], [3, 1, 2, 0], [2, 3, 0, 1]):
        kept = Strongest(2, 2, 1, 1, torch.device("cpu"))
        for documents in (order[:2], order[2:]):
            rows = rows_of([row(0, 5, 5, 0) for _ in documents], documents)
            kept.add(rows, *rows.peaks(), 0.0)
        assert kept.documents.tolist() == [[0, 1], [0, 1]]
        assert kept.positions.tolist() == [[1, 1], [1, 1]]
        assert kept.ids[0].tolist() == [[0, 1, 2], [10, 11, 12]]
        assert kept.activations[1].tolist() == [[0, -5, -5], [0, -5, -5]]


def test_examples_end_where_rows_do() -> None:
    rows = rows_of([row(9, 0, 0, 0), row(0, 0, 0, 8)], [0, 1])
    kept = Strongest(2, 3, 2, 2, torch.device("cpu"))
    kept.add(rows, *rows.peaks(), 0.0)
    assert kept.ids[0].tolist() == [[-1, -1, 0, 1, 2], [11, 12, 13, -1, -1], [-1] * 5]
    assert kept.documents[0].tolist() == [0, 1, -1]


def test_what_is_not_taken_is_no_peak_but_may_stand_beside_one() -> None:
    rows = rows_of([row(9, 5, 0, 0)], [0])
    rows.taken[0, 0] = False
    kept = Strongest(2, 1, 1, 1, torch.device("cpu"))
    kept.add(rows, *rows.peaks(), 0.0)
    assert kept.positions.tolist() == [[1], [1]]
    assert kept.activations[0, 0].tolist() == [9, 5, 0]


@pytest.mark.parametrize("signed", [False, True])
def test_counts_are_exact_while_bins_grow(signed: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    spread = Spread(3, 8, signed=signed, device=torch.device("cpu"))
    seen: list[list[float]] = [[], [], []]
    for step in range(12):
        latents = torch.randint(0, 2, (50,), generator=generator)  # the third never fires
        values = torch.randn(50, generator=generator) * 2.0 ** (step - 6)
        values = values if signed else values.abs()
        spread = spread.plus(latents, values)
        for latent, value in zip(latents.tolist(), values.tolist(), strict=True):
            seen[latent].append(value)
        for latent in range(2):
            width = float(spread.widths[latent])
            edges = (np.arange(9) - (4 if signed else 0)) * width
            expected = np.histogram(seen[latent], edges)[0]
            assert spread.counts[latent].tolist() == expected.tolist()
            assert np.abs(seen[latent]).max() >= edges[-1] / 2  # no wider than it must be
    assert spread.counts[2].tolist() == [0] * 8
    assert float(spread.widths[2]) == 0


@pytest.mark.parametrize("bins", [7, 8])
def test_negatives_that_come_late_are_counted_as_if_they_had_been_expected(bins: int) -> None:
    generator = torch.Generator().manual_seed(0)
    early, late = torch.rand(200, generator=generator), torch.randn(200, generator=generator)
    latents = torch.randint(0, 2, (200,), generator=generator)
    plain = Spread(3, bins, signed=False, device=torch.device("cpu")).plus(latents, early)
    expected = Spread(3, bins, signed=True, device=torch.device("cpu")).plus(latents, early)
    turned = plain.with_negatives()
    assert turned.counts.tolist() == expected.counts.tolist()
    assert turned.widths.tolist() == expected.widths.tolist()
    assert turned.plus(latents, late).counts.tolist() == expected.plus(latents, late).counts.tolist()


def test_an_activation_at_a_power_of_two_is_counted_once() -> None:
    spread = Spread(1, 4, signed=False, device=torch.device("cpu"))
    spread = spread.plus(torch.tensor([0, 0]), torch.tensor([1.0, 4.0]))
    assert spread.counts.sum() == 2
    spread = spread.plus(torch.tensor([0]), torch.tensor([2.0**40]))
    assert spread.counts.tolist() == [[2, 0, 1, 0]]


def test_a_corpus_that_is_handed_over_one_by_one_is_the_same() -> None:
    sae = Sparse(n=32)
    handed: list[int] = []

    def one_by_one() -> Iterator[str]:
        for text in CORPUS:
            handed.append(1)
            yield text

    assert run_top_examples(MODEL, sae, one_by_one()) == run_top_examples(MODEL, sae, CORPUS)
    assert len(handed) == len(CORPUS)


def test_some_latents_are_found_as_among_all() -> None:
    sae = Sparse(n=32)
    whole = run_top_examples(MODEL, sae, CORPUS, k=3)
    some = run_top_examples(MODEL, sae, CORPUS, k=3, latents=[30, 4])
    assert some.latents.tolist() == [4, 30]
    for latent in (4, 30):
        assert some.card(latent) == whole.card(latent)
    with pytest.raises(SelectionError, match=r"Latent 5 was not looked at\. Those that were: 4, 30\."):
        some.card(5)


def test_long_documents_give_an_example_of_each_window() -> None:
    sae = Sparse(n=32)
    text = " ".join(CORPUS[:20])
    ids = ids_of(text)
    result = run_top_examples(MODEL, sae, text, k=50)
    assert result.n_documents == 1
    assert result.n_tokens == len(ids)
    latent = int(result.fires.argmax())
    for example in result.examples(latent):
        assert example.document == 0
    positions = result.positions[list(result.latents).index(latent)]
    for position in positions[positions >= 0]:
        assert ids[position] in result.vocab
    ends = [0, 64, *range(96, len(ids), 32), len(ids)]
    windows = np.searchsorted(ends, positions[positions >= 0], side="right")
    assert len(set(windows.tolist())) == len(windows)


def test_neurons_keep_their_sign() -> None:
    result = run_top_examples(MODEL, "neurons", CORPUS[:10], layer=1, k=2)
    whole = [
        hooked(NET, "transformer.h.1.mlp.c_proj", torch.tensor([ids_of(text)]), entering=True)[0].numpy()
        for text in CORPUS[:10]
    ]
    stacked = np.concatenate(whole)
    largest = stacked[np.abs(stacked).argmax(0), np.arange(stacked.shape[1])]
    np.testing.assert_allclose(result.maximum, largest, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result.strengths[:, 0], largest, rtol=1e-4, atol=1e-5)
    histogram = result.histogram(3)
    assert histogram.edges[0] < 0
    assert histogram.counts.sum() == len(stacked)


def test_it_is_saved_and_loaded_and_told_in_words(tmp_path: Any) -> None:
    result = run_top_examples(MODEL, Sparse(n=32), CORPUS, called="sixty passages")
    assert ExamplesResult.load(result.save(tmp_path / "examples.safetensors")) == result
    frame = result.to_frame()
    assert len(frame) == (result.documents >= 0).sum()
    first = frame.iloc[0]
    assert first["activation"] == result.strengths[first["latent"], 0]
    assert first["token"] in first["text"]
    assert "(sixty passages)" in result.summary()
    silent = run_top_examples(MODEL, Sparse(n=32), CORPUS, threshold=100)
    assert "No latent fires above 100" in silent.summary()
    assert silent.card(3).examples == ()
    assert ExamplesResult.from_bytes(silent.to_bytes()) == silent


def test_an_interrupt_keeps_what_was_found() -> None:
    calls: list[int] = []

    def interrupt(_activations: torch.Tensor) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_top_examples(MODEL, Sparse(watch=interrupt), CORPUS, max_tokens=100)
    partial: ExamplesResult = caught.value.partial  # type: ignore[attr-defined]
    assert not partial.complete
    assert "There is more of the corpus to read." in partial.summary()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError("the disk is gone")])
def test_what_hands_over_documents_may_stop_before_the_first(failure: BaseException) -> None:
    def handed() -> Iterator[str]:
        raise failure
        yield ""

    with pytest.raises(type(failure) if isinstance(failure, OSError) else KeyboardInterrupt) as caught:
        run_top_examples(MODEL, Sparse(), handed())
    partial: ExamplesResult = caught.value.partial  # type: ignore[attr-defined]
    assert (partial.n_tokens, partial.n_documents, partial.complete) == (0, 0, False)
    assert partial.examples(3) == ()
    assert partial.summary().endswith("There is more of the corpus to read.")


def test_an_error_of_what_hands_over_documents_keeps_those_that_came_before() -> None:
    def handed() -> Iterator[str]:
        yield from CORPUS[:20]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        run_top_examples(MODEL, Sparse(), handed(), max_tokens=100)
    partial: ExamplesResult = caught.value.partial  # type: ignore[attr-defined]
    whole = run_top_examples(MODEL, Sparse(), CORPUS[:20])
    assert (partial.n_documents, partial.n_tokens) == (20, whole.n_tokens)
    assert partial.documents.tolist() == whole.documents.tolist()
    assert partial.fires.tolist() == whole.fires.tolist()


def test_memory_that_runs_out_in_the_middle_of_a_batch_counts_nothing_twice() -> None:
    def full(activations: torch.Tensor) -> None:
        if len(activations) > 2:
            raise RuntimeError("out of memory")

    halved = run_top_examples(MODEL, Sparse(watch=full), CORPUS[:9], max_tokens=200)
    plain = run_top_examples(MODEL, Sparse(), CORPUS[:9])
    assert halved.documents.tolist() == plain.documents.tolist()
    assert halved.fires.tolist() == plain.fires.tolist()
    assert halved.bins.sum() == plain.bins.sum() == plain.fires.sum()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"corpus": ["a", ""]}, PromptError, "Document 1 is empty"),
        ({"corpus": iter(())}, PromptError, "There is no document"),
        ({"k": 0}, ValueError, "k=0 must be a whole number from 1 on"),
        ({"bins": 1}, ValueError, "bins=1 must be a whole number from 2 on"),
        ({"window": (3,)}, ValueError, r"window=\(3,\) must be two whole numbers"),
        ({"window": (-1, 3)}, ValueError, r"window=\(-1, 3\) must be"),
        ({"latents": [500]}, SelectionError, "latents holds 500"),
        ({"threshold": "low"}, ValueError, "threshold='low' must be a number"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"corpus": CORPUS[:2]} | changed
    with pytest.raises(error, match=message):
        run_top_examples(MODEL, Sparse(), given.pop("corpus"), **given)


def test_what_is_no_number_is_refused() -> None:
    sae = Sparse()
    sae.weight[17, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="Encoding with random latents makes NaN or infinity"):
        run_top_examples(MODEL, sae, CORPUS[:2])


def test_partial_results_go_on_coming() -> None:
    steps = list(top_examples(MODEL, Sparse(), CORPUS, max_tokens=64))
    assert len(steps) > 10
    assert not steps[-1].complete  # the last step is returned
    assert [step.n_tokens for step in steps] == sorted(step.n_tokens for step in steps)
