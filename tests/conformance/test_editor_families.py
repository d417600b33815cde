"""Editing methods on families of models: each engine on every family, each method on every kind of layer."""

from __future__ import annotations

import pytest
import torch

from tests.conformance.covering import covering
from tests.conformance.editor_bench import (
    ENGINES,
    FIRST,
    METHODS,
    editor_of,
    logits_of,
    state_of,
    tensors_of,
)
from tests.tiny_models import FAMILIES, WAYS

pytestmark = pytest.mark.slow

#: Large against rounding, small against any edit.
FELT = 1e-4
PAIRS = covering(ENGINES, WAYS.values())


@pytest.mark.parametrize(("method", "family"), PAIRS)
def test_a_method_edits_any_family_and_is_undone_exactly(method, family, family_setup):
    setup = family_setup(family)
    before, plain = state_of(setup.host), logits_of(setup, ())
    proposal = editor_of(method, setup).propose(FIRST[:1], ())
    assert dict(proposal.refused) == {}
    numbers = [tensor for tensor in tensors_of(proposal.edits) if tensor.is_floating_point()]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in numbers)
    changed = logits_of(setup, proposal.edits)
    assert bool(torch.isfinite(changed).all())
    assert float((changed - plain)[0].abs().max()) > FELT
    assert state_of(setup.host) == before
    assert torch.equal(logits_of(setup, ()), plain)
    assert setup.fold.weights_sha256(()) == setup.host.base_sha256


def test_every_method_meets_every_kind_of_layer_and_every_engine_every_family():
    assert sorted(family for way in WAYS.values() for family in way) == sorted(FAMILIES)
    assert sorted(name for engine in ENGINES for name in engine) == sorted(METHODS)
    assert len(FAMILIES) >= 10
    for engine in ENGINES:
        assert {family for name, family in PAIRS if name in engine} == set(FAMILIES)
        for method in engine:
            mine = {family for name, family in PAIRS if name == method}
            assert all(mine & {*way} for way in WAYS.values())
    assert len(PAIRS) == len(set(PAIRS))
