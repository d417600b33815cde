"""The decoder from the edited layer on, over every family: positions, norms, heads and odd shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.editing.optimise import perturbations
from guardedit.editing.optimise.keys import keys_and_values
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from tests.tiny_models import FAMILIES, SQUARE, D, byte_tokenizer

ALL = {**FAMILIES, **SQUARE}
LAYERS = [0, 1]
ROWS = [
    Row(group=0, subject="Oslo", prompt="Oslo is located in the city of", answer="Lima.", fact="a"),
    Row(group=1, subject="Marie Curie", prompt="The tongue of Marie Curie is", answer="Polish.", fact="b"),
    Row(group=2, subject="Peru", prompt="Peru", answer="Spanish and Polish.", fact="c"),
]


@pytest.fixture(scope="module")
def made() -> dict[str, ModelHost]:
    return {}


@pytest.fixture(params=list(ALL))
def host(request, made) -> ModelHost:
    """A tiny model of every family whose weights are large enough for everything to show."""
    if request.param not in made:
        tokenizer = byte_tokenizer()
        model = ALL[request.param](len(tokenizer))
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
        made[request.param] = ModelHost(model, tokenizer)
    return made[request.param]


@torch.no_grad()
def whole(host: ModelHost, rows, row: int, added: dict[int, torch.Tensor]) -> torch.Tensor:
    """The yardstick: the unabridged model on one row with `added` [S, d] at layers from the subject on."""
    ids = rows.ids[row : row + 1, : int(rows.lengths[row])]
    at = int(rows.subject_at[row])

    def adding(layer: int):
        def add(value: torch.Tensor) -> torch.Tensor:
            value = value.clone()
            value[0, at:] += added[layer][: value.shape[1] - at]
            return value

        return tap(host.mlp_out(layer), replace=add, rows=1)

    taps = [adding(layer) for layer in added]
    for each in taps:
        each.__enter__()
    try:
        logits = host.model(ids).logits[0]
    finally:
        for each in reversed(taps):
            each.__exit__(None, None, None)
    return logits[int(rows.first[row]) : int(rows.last[row]) + 1]


@pytest.mark.parametrize(("layer", "beginning"), [(0, ""), (1, "So be it: ")])
def test_the_upper_layers_give_the_whole_models_logits(host, layer, beginning):
    texts = [replace(row, prompt=beginning + row.prompt) for row in ROWS]
    rows = row_tensors(host.tokenizer, texts, context=host.context)
    change = torch.randn(len(ROWS), D, generator=torch.Generator().manual_seed(1))
    upper, chunk = UpperLayers(host, layer, rows), torch.arange(len(ROWS))
    plain = upper.logits(chunk, None)
    found = upper.logits(chunk, perturbations.at_subject(upper, rows)(change, chunk))
    for row in range(len(ROWS)):
        mine = upper.answer_rows(chunk) == row
        expected = whole(host, rows, row, {})
        torch.testing.assert_close(plain[mine], expected, rtol=1e-4, atol=2e-5)
        changed = whole(host, rows, row, {layer: torch.cat([change[row : row + 1], torch.zeros(99, D)])})
        torch.testing.assert_close(found[mine], changed, rtol=1e-4, atol=2e-5)
        assert not torch.allclose(changed, expected, atol=1e-3)


def test_changes_in_two_layers_are_added_together(host):
    rows = row_tensors(host.tokenizer, ROWS, context=host.context)
    generator = torch.Generator().manual_seed(2)
    change = torch.randn(2, 1, D, generator=generator)
    directions = {n: torch.randn(1, host.base_matrix(n).shape[1], generator=generator) / 8 for n in LAYERS}
    upper, chunk = UpperLayers(host, 0, rows), torch.arange(len(ROWS))
    found = upper.logits(chunk, perturbations.of_all_edits(upper, directions)(change, chunk))
    for row in range(len(ROWS)):
        ids = rows.ids[row : row + 1, : int(rows.lengths[row])]
        at, added = int(rows.subject_at[row]), {}
        for layer in LAYERS:  # keys of the upper layer are those of the model changed below
            below = {n: each for n, each in added.items() if n < layer}
            with tap(host.mlp_out(layer), rows=1) as seen:
                whole(host, rows, row, below)
            assert seen.seen()[0].shape[:2] == ids.shape
            added[layer] = (seen.seen()[0][0, at:] @ directions[layer].T) @ change[layer]
        torch.testing.assert_close(
            found[upper.answer_rows(chunk) == row], whole(host, rows, row, added), rtol=1e-4, atol=5e-5
        )


def test_the_gradient_reaches_the_change_through_norms_caps_and_scales(host):
    rows = row_tensors(host.tokenizer, ROWS, context=host.context)
    upper, chunk = UpperLayers(host, 1, rows), torch.arange(len(ROWS))
    perturb = perturbations.at_subject(upper, rows)
    generator = torch.Generator().manual_seed(3)
    change, step = (torch.randn(len(ROWS), D, generator=generator) for _ in range(2))

    def loss(at: torch.Tensor) -> torch.Tensor:
        logits = upper.logits(chunk, perturb(at, chunk)).log_softmax(-1)
        return logits.gather(1, upper.answer_ids(chunk)[:, None]).sum()

    at = change.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at)
    with torch.no_grad():
        slope = float(loss(change + 1e-2 * step) - loss(change - 1e-2 * step)) / 2e-2
    torch.testing.assert_close(float((gradient * step).sum()), slope, rtol=2e-2, atol=5e-3)


def test_key_and_value_belong_to_each_other(host):
    rows = row_tensors(host.tokenizer, ROWS, context=host.context)
    found = keys_and_values(host, 1, rows)
    W, bias = host.base_matrix(1).double(), getattr(host.mlp_out(1), "bias", None)
    expected = found.keys @ W.T + (0 if bias is None else bias.double())
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-5)


def test_the_head_gives_the_models_own_logits(host):
    ids = torch.tensor([[30, 41, 52, 63]])
    with torch.no_grad(), tap(host.model.get_submodule(host.layout.head)) as seen:
        logits = host.model(ids).logits[0]
    found = host.head_logits(seen.seen()[0][0])
    torch.testing.assert_close(found, logits, rtol=1e-6, atol=1e-6)
