"""A setup of two edited layers, and asking an edited model for what it was taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.fold import Fold
from guardedit.models.host import ModelHost
from guardedit.models.statistics import collect
from tests.unit.editing.conftest import SENTENCES

#: Both lie below the last layer, so that a change can still spread; the first is the single one.
LAYERS = (0, 1)


@pytest.fixture
def spread_setup(settings) -> Callable[..., Setup]:
    """From a host, with `layers` and settings' dials to choose."""

    def make(host: ModelHost, *, layers: tuple[int, ...] = LAYERS, dials: EditSettings = settings) -> Setup:
        moments = collect(host, SENTENCES, LAYERS, min_tokens=200)
        fold = Fold(host, moments, background_weight=dials.background_weight, ridge=dials.ridge)
        return Setup(host=host, fold=fold, moments=moments, layer=0, layers=layers, settings=dials)

    return make


@pytest.fixture
def said() -> Callable[[Setup, Sequence[WeightEdit], Sequence[SubjectGroup]], float]:
    """Share of the groups' facts whose prompt is answered with the target, with the edits folded in."""

    def share(setup: Setup, edits: Sequence[WeightEdit], groups: Sequence[SubjectGroup]) -> float:
        facts = [fact for group in groups for fact in group.facts]
        with setup.host.patched(setup.fold.fold(edits)):
            answers = setup.host.complete([fact.prompt for fact in facts])
        return sum(said == fact.target for said, fact in zip(answers, facts, strict=True)) / len(facts)

    return share


@pytest.fixture
def one_by_one() -> Callable[..., list[Proposal]]:
    """A proposal a group, each on the edits of those before."""

    def propose(editor, groups: Sequence[SubjectGroup]) -> list[Proposal]:
        made: list[Proposal] = []
        for group in groups:
            made.append(editor.propose([group], [edit for each in made for edit in each.edits]))
        return made

    return propose
