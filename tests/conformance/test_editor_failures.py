"""Whatever happens in the middle of a proposal, every editing method leaves the model as it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from guardedit.core.errors import GuardeditError
from tests.conformance.editor_bench import FIRST, Run, counted, editor_of, payloads, state_of

pytestmark = pytest.mark.slow

#: Where memory runs out: in which pass, and after what share of a proposal's runs of decoder layers. Not in
#: the last backward pass: some methods end on a forward pass of which they want no gradient any more.
PLACES = {
    "in the first forward pass": (False, 0.0),
    "in a forward pass halfway": (False, 0.5),
    "in the last forward pass": (False, 1.0),
    "in the first backward pass": (True, 0.0),
    "in a backward pass halfway": (True, 0.5),
}


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


def test_out_of_memory_anywhere_leaves_nothing_behind_and_the_next_proposal_works(run, method, length):
    host, before = run.setup.host, state_of(run.setup.host)
    wanted = payloads(editor_of(method, run.setup).propose(FIRST[:1], ()))
    for place, (backward, share) in PLACES.items():
        editor, runs = editor_of(method, run.setup), length(run, backward=backward)
        if backward and not runs:
            continue  # no gradient goes through decoder layers
        assert runs > 0, place
        with (
            counted(host, fail_at=max(1, round(runs * share)), backward=backward),
            pytest.raises((torch.OutOfMemoryError, GuardeditError)),
        ):
            editor.propose(FIRST[:1], ())
        assert state_of(host) == before, place
        assert payloads(editor.propose(FIRST[:1], ())) == wanted, place
