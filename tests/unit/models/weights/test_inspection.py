"""Tier 0 numbers against dense matrices."""

from __future__ import annotations

import math

import pytest
import torch

from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.factors import Factors, from_payload, parts_of, to_payload


def change(folding, gpt2, edits):
    """Dense Delta [d, f] float64 of a fold of layer 1."""
    return (
        folding.fold(edits).matrices[gpt2.layout.matrix_name(1)].t().double() - gpt2.base_matrix(1).double()
    )


@pytest.mark.parametrize("kind", ["ridge", "direct"])
def test_a_lone_edits_sizes_are_those_of_its_dense_change(folding, gpt2, moments, make_edits, kind):
    edits = make_edits(1, kind=kind)
    (found,) = folding.inspect(edits, [])
    W, C = gpt2.base_matrix(1).double(), moments[1].C
    delta = change(folding, gpt2, edits)
    assert found.finite
    assert found.facts == ("fact0",)
    assert found.digest == edits[0].digest
    assert found.relative_size == pytest.approx(float(delta.norm() / W.norm()), rel=1e-4)
    assert found.background_error == pytest.approx(
        float((delta @ C * delta).sum() / (W @ C * W).sum()), rel=1e-3
    )


def test_the_parts_of_a_joint_solution_add_up_to_it(folding, gpt2, make_edits):
    edits = make_edits(4)
    parts = folding._contributions({e.digest: parts_of(e.payload) for e in edits})
    total = sum(part.left @ part.right.t() for (part,) in parts.values())
    assert torch.allclose(total, change(folding, gpt2, edits), atol=1e-5)
    alone, among = folding.inspect(edits[:1], [])[0], folding.inspect(edits[:1], edits[1:])[0]
    assert alone.relative_size != among.relative_size
    assert alone.key_outlier == among.key_outlier


def test_the_value_ratio_compares_the_wanted_output_with_ordinary_outputs(folding, gpt2, moments, make_edits):
    (one,) = make_edits(1)
    factors = from_payload(one.payload)
    k, r = factors.right[:, 0].double(), factors.left[:, 0].double()
    wanted = gpt2.base_matrix(1).double() @ k + gpt2.mlp_out(1).bias.double() + r
    (found,) = folding.inspect([one], [])
    assert found.value_ratio == pytest.approx(float(wanted.norm()) / moments[1].value_norm, rel=1e-5)


def test_the_value_ratio_of_a_direct_edit_is_what_it_really_puts_out(folding, gpt2, moments, make_edits):
    (one,) = make_edits(1, kind="direct")
    k = from_payload(one.payload).key[:, 0].double()
    W = gpt2.base_matrix(1).double() + change(folding, gpt2, [one])
    out = W @ k + gpt2.mlp_out(1).bias.double()
    (found,) = folding.inspect([one], [])
    assert found.value_ratio == pytest.approx(float(out.norm()) / moments[1].value_norm, rel=1e-4)


def test_a_key_far_from_the_background_is_an_outlier_and_an_ordinary_one_is_not(folding, moments):
    ordinary = torch.linalg.eigh(moments[1].C).eigenvectors[:, -1] * moments[1].C.trace().sqrt()
    for key, low, high in ((ordinary, 0.0, 1.5), (ordinary * 100, 10.0, math.inf)):
        for factors in (
            Factors.ridge(layer=1, key=key, residual=torch.ones(16)),
            Factors.direct(layer=1, left=torch.ones(16), right=key, key=key),
        ):
            edit = WeightEdit(subject="S", facts=(), method="m", payload=to_payload(factors))
            assert low < folding.inspect([edit], [])[0].key_outlier < high


def test_what_an_edit_does_not_say_is_nan(folding):
    for layer in (1, 2):  # layer 2 has no second moments
        factors = Factors.direct(layer=layer, left=torch.ones(16), right=torch.ones(24))
        edit = WeightEdit(subject="S", facts=(), method="m", payload=to_payload(factors))
        (found,) = folding.inspect([edit], [])
        assert found.finite
        assert found.relative_size > 0
        assert math.isnan(found.value_ratio)
        assert math.isnan(found.key_outlier)
        assert math.isnan(found.background_error) == (layer == 2)
