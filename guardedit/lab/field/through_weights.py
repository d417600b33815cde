"""Writes facts into the weights with one method and no guard: in batches on top of each other, or alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from guardedit.agent.proposing import group_by_subject
from guardedit.core.correction import Correction
from guardedit.core.errors import EditError
from guardedit.core.probe import Question
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import MethodEditor
from guardedit.editing.setup import Setup
from guardedit.lab.field.asking import AskedState
from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.scoring import Tell
from guardedit.lab.field.written import Written, facts_of
from guardedit.models.bypass import Patch
from guardedit.models.weights.fold import Fold

#: From a subject to what the base model knows of it, whose answers edits keep.
KnownQuestions = Callable[[str], Sequence[Question]]


def at_price(setup: Setup, price: float) -> Setup:
    """The same setup, in which changes of other texts cost `price` times as much.

    That is the divergence price and the background price of `joint`, and for methods that weigh an edit
    against second moments their weight. A method with neither is the same at every price.
    """
    settings = replace(setup.settings, background_weight=price * setup.settings.background_weight)
    joint = replace(
        setup.joint,
        divergence_price=price * setup.joint.divergence_price,
        background_price=price * setup.joint.background_price,
    )
    # `joint` and `ridge` are folded with the same weight that they are computed with.
    fold = Fold(setup.host, setup.moments, background_weight=settings.background_weight, ridge=settings.ridge)
    return replace(setup, settings=settings, joint=joint, fold=fold)


def write_to_weights(
    setup: Setup,
    editor: MethodEditor,
    corrections: Sequence[Correction],
    *,
    batch: int,
    known_questions: KnownQuestions = lambda _: (),
    tell: Tell = lambda *_: None,
) -> Written:
    """All facts edited, each batch on top of the live edits; the fold of them all.

    A subject that has facts in earlier batches is proposed with all its facts, and the new edit takes the
    place of the old one, as in the agent. A fact that the method refuses is not in the model.

    Args:
        setup: the base model and its fold.
        editor: the method, built from the setup.
        corrections: the facts, in order.
        batch: most new facts at once.
        known_questions: what edits of a subject keep.
        tell: progress.

    Raises:
        EditError: the method fails, or the edits cannot be folded.
    """
    facts = facts_of(corrections)
    live: dict[str, tuple[WeightEdit, ...]] = {}
    refused: dict[str, str] = {}
    seconds = 0.0
    tell("editing", 0, len(facts))
    for start in range(0, len(facts), batch):
        done = facts[: start + batch]
        subjects = {fact.key.subject for fact in done[start:]}
        groups = group_by_subject([fact for fact in done if fact.key.subject in subjects], known_questions)
        others = [edit for subject, edits in live.items() if subject not in subjects for edit in edits]
        proposal = editor.propose(groups, others)
        live |= _by_subject(proposal.edits)  # a subject whose facts are refused keeps its earlier edits
        refused |= proposal.refused
        seconds += proposal.seconds
        tell("editing", len(done), len(facts))
    edits = [edit for made in live.values() for edit in made]
    folded = setup.fold.folded(edits)
    inside = {name for edit in edits for name in edit.facts}
    return Written(
        state=AskedState(host=setup.host, patch=folded.patch),
        placements={"weights": len(inside), "refused": len(facts) - len(inside)},
        seconds=seconds,
        account={
            "seconds_per_edit": seconds / len(facts) if facts else float("nan"),
            "weights_sha256": folded.sha256,
            "layer": setup.layer,
            "layers": list(setup.layers),
            "batch": batch,
            "refused": refused,
        },
    )


def write_each_alone(
    setup: Setup,
    editor: MethodEditor,
    cases: Sequence[FieldCase],
    *,
    known_questions: KnownQuestions = lambda _: (),
) -> Iterator[tuple[FieldCase, Written]]:
    """Each case with the base model that has its facts alone. The arguments are those of `write_to_weights`.

    A case that the method fails on counts as refused: it says nothing about the others.
    """
    for case in cases:
        corrections = case.corrections
        try:
            written = write_to_weights(
                setup, editor, corrections, batch=len(corrections), known_questions=known_questions
            )
        except EditError as error:
            written = _nothing_written(setup, corrections, str(error))
        yield case, written


def _nothing_written(setup: Setup, corrections: Sequence[Correction], why: str) -> Written:
    facts = facts_of(corrections)
    return Written(
        state=AskedState(host=setup.host, patch=Patch({})),
        placements={"weights": 0, "refused": len(facts)},
        seconds=0.0,
        account={"refused": {fact.id: why for fact in facts}},
    )


def _by_subject(edits: Sequence[WeightEdit]) -> dict[str, tuple[WeightEdit, ...]]:
    made: dict[str, tuple[WeightEdit, ...]] = {}
    for edit in edits:
        made[edit.subject] = (*made.get(edit.subject, ()), edit)
    return made
