"""Whatever happens in the middle of a proposal, every editing method leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from guardedit.core.errors import GuardeditError
from tests.conformance.editor_bench import FIRST, Run, counted, editor_of, payloads, state_of

#: Where memory runs out, as a share of all runs of decoder layers.
PLACES = {"at once": 0.0, "halfway": 0.5, "at the end": 1.0}


@pytest.fixture(scope="session")
def length() -> Callable[..., int]:
    """How often decoder layers run in a proposal, or how many of these runs a gradient goes through."""
    made: dict[tuple[str, bool], int] = {}

    def of(run: Run, *, backward: bool) -> int:
        name = run.editor.name
        if (name, backward) not in made:
            editor = editor_of(name, run.setup)
            with counted(run.setup.host, backward=backward) as runs:
                editor.propose(FIRST[:1], ())
            made[name, backward] = runs[0]
        return made[name, backward]

    return of


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("place", PLACES.values(), ids=list(PLACES))
def test_out_of_memory_leaves_nothing_behind_and_the_next_proposal_works(
    run, editor, length, place, backward
):
    host, runs = run.setup.host, length(run, backward=backward)
    if backward and not runs:
        return  # no gradient goes through decoder layers
    assert runs > 0
    before, at = state_of(host), max(1, round(runs * place))
    with (
        counted(host, fail_at=at, backward=backward),
        pytest.raises((torch.OutOfMemoryError, GuardeditError)),
    ):
        editor.propose(FIRST[:1], ())
    assert state_of(host) == before
    assert payloads(editor.propose(FIRST, ())) == payloads(run.first)
