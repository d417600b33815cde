from __future__ import annotations

import math

import pytest
import torch

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.models.bypass import Patch
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.lazy_moments import LazyMoments
from guardedit.models.weights.second_moments import collect


@pytest.fixture
def asked() -> list[list[int]]:
    return []


@pytest.fixture
def moments(gpt2, sentences, asked) -> LazyMoments:
    """Layer 0 now, the other two later."""

    def later(layers):
        asked.append(list(layers))
        return collect(gpt2, sentences, layers, min_tokens=100)

    return LazyMoments(collect(gpt2, sentences, [0], min_tokens=100), later=[1, 2], collect=later)


def test_the_later_layers_are_collected_together_when_the_first_is_asked_for_and_never_again(moments, asked):
    assert (0 in moments, 2 in moments, 3 in moments, list(moments), len(moments)) == (
        True, True, False, [0, 1, 2], 3,
    )  # fmt: skip
    assert moments[0].layer == 0
    assert asked == []
    assert (moments[2].layer, moments[1].layer) == (2, 1)
    assert asked == [[1, 2]]


def test_a_layer_that_was_not_named_has_none(moments, asked):
    assert moments.get(3) is None
    with pytest.raises(KeyError):
        moments[3]
    assert asked == []


def test_a_fold_has_numbers_for_an_edit_of_a_later_layer(gpt2, moments, asked):
    d, f = gpt2.base_matrix(0).shape
    edits = [
        WeightEdit(
            subject="s",
            facts=(f"f{layer}",),
            method="m",
            payload=to_payload(Factors.direct(layer=layer, left=torch.ones(d), right=torch.ones(f))),
        )
        for layer in (0, 2)
    ]
    fold = Fold(gpt2, moments, background_weight=1.0, ridge=0.1)
    assert math.isfinite(fold.inspect(edits[:1], ())[0].background_error)
    assert asked == []
    assert math.isfinite(fold.inspect(edits[1:], ())[0].background_error)
    assert asked == [[1, 2]]


def test_an_edited_models_moments_are_never_taken_for_the_base_models(gpt2, moments):
    bare = Patch({}, [])
    with gpt2.patched(bare), gpt2.patched(bare):
        assert gpt2.is_patched
        with pytest.raises(EditError, match="outside"):
            moments[1]
    assert not gpt2.is_patched
    assert moments[1].layer == 1
