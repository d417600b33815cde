"""A setup of two edited layers, and asking an edited model for what it was taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import collect
from tests.unit.editing.conftest import SENTENCES

#: Both lie below the last layer, so that a change can still be read by one; the first is the single one.
LAYERS = (0, 1)


@pytest.fixture
def spread_setup() -> Callable[..., Setup]:
    """From a host, with `layers` and settings to choose."""

    def make(host: ModelHost, *, layers: tuple[int, ...] = LAYERS, **numbers: object) -> Setup:
        settings = EditSettings(**{"background_weight": 10.0, "ridge": 0.001, "steps": 12, **numbers})
        moments = collect(host, SENTENCES, LAYERS, min_tokens=200)
        fold = Fold(host, moments, background_weight=settings.background_weight, ridge=settings.ridge)
        return Setup(host=host, fold=fold, moments=moments, layer=0, layers=layers, settings=settings)

    return make


@pytest.fixture
def bare() -> Contexts:
    """No prefixes: the taught models know none but one, and take it for a sentence of its own."""
    return Contexts()


@pytest.fixture
def said() -> Callable[[Setup, Sequence[WeightEdit], Sequence[SubjectGroup]], list[bool]]:
    """Whether the answer to each fact's prompt begins with the target, with the edits folded in."""

    def answers(setup: Setup, edits: Sequence[WeightEdit], groups: Sequence[SubjectGroup]) -> list[bool]:
        facts = [fact for group in groups for fact in group.facts]
        with setup.host.patched(setup.fold.fold(edits)):
            found = setup.host.complete([fact.prompt for fact in facts])
        return [said.startswith(fact.target) for said, fact in zip(found, facts, strict=True)]

    return answers


@pytest.fixture
def one_by_one() -> Callable[..., list[WeightEdit]]:
    """The edits of a stream, each proposed on those before it."""

    def propose(editor: MethodEditor, groups: Sequence[SubjectGroup]) -> list[WeightEdit]:
        edits: list[WeightEdit] = []
        for group in groups:
            edits += editor.propose([group], edits).edits
        return edits

    return propose
