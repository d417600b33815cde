from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import EditError
from guardedit.core.proposal import WeightEdit
from guardedit.models.weights.bypasses.codebook import CodebookBypass, ball_radii, outranking
from guardedit.models.weights.factors import Factors, to_payload

D, F = 16, 24


def entry(key, value, *, label="x", radius=1.0, version=1):
    extra = {
        "label": torch.tensor(list(label.encode().ljust(32)), dtype=torch.uint8),
        "radius": torch.tensor(radius, dtype=torch.float64),
        "version": torch.tensor(version),
    }
    factors = Factors.keyed("codebook", layer=1, key=key, value=value, extra=extra)
    return WeightEdit(subject="s", facts=("f",), method="test", payload=to_payload(factors))


def at(*place):
    key = torch.zeros(F)
    key[: len(place)] = torch.tensor(place)
    return key


def said(bypass, key):
    """The value's first number, which is 0 where nothing is found."""
    return float(bypass(key[None, None], torch.zeros(1, 1, D))[0, 0, 0])


def test_a_token_within_the_radius_gets_the_value_and_one_beyond_it_does_not(folding):
    bypass = folding.fold([entry(at(0.0), torch.ones(D))]).bypasses[0]
    assert said(bypass, at(0.99)) == 1.0
    assert said(bypass, at(1.01)) == 0.0


def test_balls_of_different_labels_never_overlap(folding):
    edits = [entry(at(0.0), torch.ones(D), label="a"), entry(at(1.0), 2 * torch.ones(D), label="b")]
    bypass = folding.fold(edits).bypasses[0]
    assert bypass.radii.tolist() == [0.5, 0.5]
    assert [said(bypass, at(x)) for x in (0.0, 0.49, 0.51, 1.0)] == [1.0, 1.0, 2.0, 2.0]


def test_balls_of_one_label_may_overlap(folding):
    edits = [entry(at(0.0), torch.ones(D)), entry(at(1.0), 2 * torch.ones(D))]
    assert folding.fold(edits).bypasses[0].radii.tolist() == [1.0, 1.0]


def test_a_deleted_key_frees_its_ball(folding):
    alone, near = entry(at(0.0), torch.ones(D), label="a"), entry(at(0.4), torch.ones(D), label="b")
    assert said(folding.fold([alone, near]).bypasses[0], at(-0.9)) == 0.0
    assert said(folding.fold([alone]).bypasses[0], at(-0.9)) == 1.0


def test_the_newer_of_two_versions_answers_the_same_prompt_within_its_whole_radius(folding):
    old = entry(at(0.0), torch.ones(D), label="old", version=1)
    new = entry(at(0.0), 2 * torch.ones(D), label="new", version=2)
    for edits in ([old, new], [new, old]):
        bypass = folding.fold(edits).bypasses[0]
        assert bypass.radii.tolist() == [1.0]
        assert said(bypass, at(0.9)) == 2.0


def test_of_equal_versions_at_one_place_the_same_one_stands_in_any_order(folding):
    edits = [entry(at(0.0), (n + 1) * torch.ones(D), label=str(n)) for n in range(3)]
    answers = {said(folding.fold(order).bypasses[0], at(0.0)) for order in (edits, edits[::-1])}
    assert len(answers) == 1
    assert answers != {0.0}


def test_a_key_of_the_same_label_at_the_same_place_takes_nothing_away():
    keys, label = torch.zeros(2, F, dtype=torch.float64), torch.tensor([0, 0])
    assert outranking(keys, label, torch.ones(2), torch.tensor([1, 2])).all()


def test_the_radius_is_half_the_way_to_the_nearest_other_label():
    keys = torch.tensor([[0.0], [3.0], [4.0]], dtype=torch.float64)
    radii = ball_radii(keys, torch.tensor([0, 0, 1]), torch.full((3,), 9.0, dtype=torch.float64))
    assert radii.tolist() == [2.0, 0.5, 0.5]


def test_small_distances_between_long_keys_are_told_apart():
    keys = torch.full((2, F), 1000.0)
    keys[1, 0] += 0.25
    bypass = CodebookBypass(
        layer=1, keys=keys, values=torch.tensor([[1.0], [2.0]]).expand(2, D), radii=torch.full((2,), 0.125)
    )
    assert [said(bypass, key) for key in keys] == [1.0, 2.0]


def test_every_wording_of_a_fact_has_its_key(folding):
    keys = torch.stack([at(0.0), at(5.0)], dim=1)
    bypass = folding.fold([entry(keys, torch.ones(D, 2))]).bypasses[0]
    assert [said(bypass, at(x)) for x in (0.0, 2.5, 5.0)] == [1.0, 0.0, 1.0]


def test_an_edit_without_a_label_is_refused(folding):
    factors = Factors.keyed("codebook", layer=1, key=at(0.0), value=torch.ones(D))
    edit = WeightEdit(subject="s", facts=("f",), method="test", payload=to_payload(factors))
    with pytest.raises(EditError, match="label"):
        folding.fold([edit])
