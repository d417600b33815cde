from __future__ import annotations

import random

import pytest
import torch
from torch import nn

from guardedit.core.errors import EditDiverged, EditError
from guardedit.core.proposal import WeightEdit
from guardedit.models.host import ModelHost
from guardedit.models.matrices import tensor_sha256
from guardedit.models.weights.factors import Factors, from_payload, to_payload
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import collect

IDS = torch.tensor([[5, 6, 7, 8, 9]])


def digests(fold, edits):
    return {name: tensor_sha256(stored) for name, stored in fold.fold(edits).matrices.items()}


def edit(factors: Factors, subject: str = "Oslo") -> WeightEdit:
    return WeightEdit(subject=subject, facts=("f",), method="test", payload=to_payload(factors))


def dense(host, moments, edits, *, background_weight, ridge):
    """Textbook W0 + R K^T (lambda C + rho I + K K^T)^-1, then direct edits."""
    W = host.base_matrix(1).double()
    solved = [x for x in (from_payload(e.payload) for e in edits) if x.kind == "ridge"]
    K = torch.cat([x.right.double() for x in solved], dim=1)
    R = torch.cat([x.left.double() for x in solved], dim=1)
    M = background_weight * moments.C + ridge * torch.eye(len(moments.C), dtype=torch.float64)
    W = W + R @ K.t() @ torch.linalg.inv(M + K @ K.t())
    for x in (from_payload(e.payload) for e in edits):
        if x.kind == "direct":
            W = W + x.left.double() @ x.right.double().t()
    return W


def test_the_fold_is_the_textbook_solution_in_every_architecture(host, sentences, make_edits):
    moments = collect(host, sentences, [1], min_tokens=60)
    edits = [*make_edits(5), *make_edits(2, kind="direct", seed=7)]
    fold = Fold(host, moments, background_weight=5.0, ridge=0.1)
    wanted = dense(host, moments[1], edits, background_weight=5.0, ridge=0.1)
    with host.patched(fold.fold(edits)):
        live = host.model.get_parameter(host.layout.matrix_name(1)).detach()
    live = live.t() if host.model.config.model_type == "gpt2" else live
    assert torch.allclose(live.double(), wanted, atol=1e-5)


def test_no_edits_fold_to_nothing_and_the_digest_of_the_base(folding, gpt2):
    assert folding.fold([]).matrices == {}
    assert folding.weights_sha256([]) == gpt2.base_sha256
    assert folding.capacity_ratio([]) == 0.0
    assert folding.inspect([], []) == []


def test_the_order_of_arrival_and_repetitions_change_no_bit(gpt2_float64, sentences, make_edits):
    folding = Fold(
        gpt2_float64,
        collect(gpt2_float64, sentences, [0, 1], min_tokens=60),
        background_weight=5.0,
        ridge=0.01,
    )
    edits = [*make_edits(8), *make_edits(3, layer=0, seed=3), *make_edits(3, kind="direct", seed=5)]
    wanted = digests(folding, edits)
    rng = random.Random(0)
    for _ in range(5):
        rng.shuffle(edits)
        assert digests(folding, [*edits, edits[0]]) == wanted


def test_undoing_and_redoing_any_edit_ends_in_the_bytes_of_never_and_always(
    gpt2_float64, sentences, make_edits
):
    gpt2, moments = gpt2_float64, collect(gpt2_float64, sentences, [1], min_tokens=60)
    edits = make_edits(9)
    fold = Fold(gpt2, moments, background_weight=5.0, ridge=0.01)
    whole = digests(fold, edits)
    for i in (4, 0, 8, 4):
        fewer = edits[:i] + edits[i + 1 :]
        never = Fold(gpt2, moments, background_weight=5.0, ridge=0.01)  # has not seen edit i
        assert digests(fold, fewer) == digests(never, fewer) != whole
        assert digests(fold, edits) == whole


def test_a_restart_and_another_number_of_threads_give_the_same_bytes(
    wide_host, sentences, make_edits, threads
):
    edits = [
        *make_edits(40, layer=0, d=64, f=512),
        *make_edits(3, layer=0, kind="direct", seed=1, d=64, f=512),
    ]
    found = set()
    for count in (1, 2, 1):
        threads(count)
        moments = collect(wide_host, sentences, [0], min_tokens=60)
        fold = Fold(wide_host, moments, background_weight=5.0, ridge=0.01)
        found.add(fold.weights_sha256(edits))
        assert torch.get_num_threads() == count
    assert len(found) == 1


def test_the_digest_differs_for_different_sets(folding, make_edits):
    edits = make_edits(4)
    sets = [edits[:i] for i in range(5)]
    assert len({folding.weights_sha256(some) for some in sets}) == 5


def test_the_digest_tells_bases_apart_that_differ_only_outside_the_edited_matrix(
    make_host, moments, make_edits
):
    found = set()
    for bit in (0, 1):
        host = make_host()
        host.model.transformer.wte.weight.data.view(torch.int32)[0, 0] ^= bit
        host = ModelHost(host.model, host.tokenizer)
        fold = Fold(host, moments, background_weight=5.0, ridge=0.01)
        found.add(fold.weights_sha256(make_edits(3)))
    assert len(found) == 2


def test_trying_a_fold_and_leaving_it_restores_the_base_bit_for_bit(folding, gpt2, make_edits):
    before = gpt2.tensor_sha256()
    for n in (1, 6, 3):
        with gpt2.patched(folding.fold(make_edits(n))):
            assert gpt2.tensor_sha256() != before
    assert gpt2.tensor_sha256() == before


def test_folding_under_a_patch_still_starts_from_the_base(gpt2, moments, make_edits):
    edits = make_edits(5)
    options = {"background_weight": 5.0, "ridge": 0.01}
    wanted = Fold(gpt2, moments, **options).weights_sha256(edits)
    with gpt2.patched(Fold(gpt2, moments, **options).fold(make_edits(2, seed=9))):
        assert Fold(gpt2, moments, **options).weights_sha256(edits) == wanted


def test_conv1d_and_linear_give_the_same_logits_after_the_same_edit(make_host, sentences, make_edits):
    conv, linear = make_host(dtype=torch.float64), make_host(dtype=torch.float64)
    for layer in range(3):
        mlp = linear.decoder_layer(layer).mlp
        replacement = nn.Linear(24, 16, dtype=torch.float64)
        replacement.weight.data = mlp.c_proj.weight.data.t().clone()
        replacement.bias.data = mlp.c_proj.bias.data.clone()
        mlp.c_proj = replacement
    linear = ModelHost(linear.model, linear.tokenizer)
    logits = []
    for host in (conv, linear):
        moments = collect(host, sentences, [1], min_tokens=60)
        matrices = Fold(host, moments, background_weight=5.0, ridge=0.01).fold(make_edits(4))
        with host.patched(matrices), torch.inference_mode():
            logits.append(host.model(input_ids=IDS).logits)
        assert not torch.allclose(host.model(input_ids=IDS).logits, logits[-1])
    assert torch.allclose(*logits, atol=1e-10)


def test_with_a_light_background_a_key_gets_its_new_value(gpt2_float64, sentences, make_edits):
    moments = collect(gpt2_float64, sentences, [1], min_tokens=60)
    edits = make_edits(3)
    stored = Fold(gpt2_float64, moments, background_weight=1e-9, ridge=1e-9).fold(edits)
    (matrix,) = stored.matrices.values()
    for one in edits:
        factors = from_payload(one.payload)
        change = matrix.t() - gpt2_float64.base_matrix(1)
        assert torch.allclose(change @ factors.right.double(), factors.left.double(), atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["ridge", "direct"])
def test_factors_that_are_not_finite_diverge_and_name_the_subject(folding, make_edits, value, kind):
    bad = torch.ones(24)
    bad[3] = value
    if kind == "ridge":
        factors = Factors.ridge(layer=1, key=bad, residual=torch.ones(16))
    else:
        factors = Factors.direct(layer=1, left=torch.ones(16), right=bad)
    edits = [*make_edits(2), edit(factors, "Atlantis")]
    with pytest.raises(EditDiverged, match="Atlantis"):
        folding.fold(edits)
    found = folding.inspect(edits, [])
    assert [one.finite for one in found] == [True, True, False]
    assert found[0] == folding.inspect(edits[:2], [])[0]


def test_finite_factors_whose_product_overflows_the_model_diverge(folding):
    huge = Factors.direct(layer=1, left=torch.full((16,), 1e30), right=torch.full((24,), 1e30))
    with pytest.raises(EditDiverged, match=r"overflow torch\.float32"):
        folding.fold([edit(huge)])


def test_edits_of_another_model_are_refused(folding):
    for factors, message in (
        (Factors.ridge(layer=1, key=torch.ones(25), residual=torch.ones(16)), "made for another model"),
        (Factors.ridge(layer=7, key=torch.ones(24), residual=torch.ones(16)), "layers 0 to 2"),
        (Factors.ridge(layer=2, key=torch.ones(24), residual=torch.ones(16)), r"collected: 0, 1"),
    ):
        with pytest.raises(EditError, match=message):
            folding.fold([edit(factors)])


def test_a_direct_edit_needs_no_second_moments(folding, gpt2):
    factors = Factors.direct(layer=2, left=torch.ones(16), right=torch.ones(24))
    (stored,) = folding.fold([edit(factors)]).matrices.values()
    assert torch.allclose(stored.t(), gpt2.base_matrix(2) + 1)


def test_moments_of_another_width_are_refused(gpt2, moments, make_edits):
    from dataclasses import replace

    narrow = {1: replace(moments[1], C=torch.eye(3).double())}
    with pytest.raises(EditError, match="width 3, the keys 24"):
        Fold(gpt2, narrow, background_weight=1.0, ridge=1.0).fold(make_edits(1))


def test_capacity_counts_live_keys_of_the_fullest_layer(folding, make_edits):
    one = folding.capacity_ratio(make_edits(1))
    assert 1 / 24 <= one < 1
    assert folding.capacity_ratio(make_edits(6)) == pytest.approx(6 * one)
    mixed = [*make_edits(6), *make_edits(2, layer=0, seed=4)]
    assert folding.capacity_ratio(mixed) == pytest.approx(6 * one)
