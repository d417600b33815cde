"""Whatever happens in the middle of a proposal, every editing method leaves the model as it was."""

from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import GuardeditError
from guardedit.editing.registry import Registry
from tests.conformance.editor_bench import FIRST, counted, payloads, state_of

#: Where memory runs out, as a share of all runs of decoder layers.
PLACES = {"at once": 0.0, "halfway": 0.5, "at the end": 1.0}


@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_out_of_memory_leaves_nothing_behind_and_the_next_proposal_works(run, place):
    host = run.setup.host
    with counted(host) as runs:
        assert payloads(run.editor.propose(FIRST[:1], ())) != []
    undisturbed = payloads(run.editor.propose(FIRST, ()))
    fresh = Registry().resolve(run.editor.name).build(run.setup)
    before, at = state_of(host), max(1, round(runs[0] * place))
    with counted(host, fail_at=at), pytest.raises((torch.OutOfMemoryError, GuardeditError)):
        fresh.propose(FIRST[:1], ())
    assert state_of(host) == before
    assert payloads(fresh.propose(FIRST, ())) == undisturbed == payloads(run.first)


def test_out_of_memory_in_a_backward_pass_leaves_nothing_behind(run):
    host, before = run.setup.host, state_of(run.setup.host)
    with counted(host, backward=True) as runs:
        run.editor.propose(FIRST[:1], ())
    for at in {1, max(1, runs[0] // 2)} if runs[0] else set():
        with (
            counted(host, fail_at=at, backward=True),
            pytest.raises((torch.OutOfMemoryError, GuardeditError)),
        ):
            Registry().resolve(run.editor.name).build(run.setup).propose(FIRST[:1], ())
        assert state_of(host) == before
    assert payloads(run.editor.propose(FIRST, ())) == payloads(run.first)
