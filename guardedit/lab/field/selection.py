"""Chooses which cases of a data set are edited: by seed, without contradictions, by what the model knows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guardedit.core.errors import UsageError
from guardedit.core.fact import FactKey
from guardedit.lab.field.cases import FieldCase, QuestionGroup
from guardedit.lab.field.scoring import Given, Tell, score_answers
from guardedit.models.text.language_model import LanguageModel

#: Cases that are looked at together while known ones are searched for.
CHUNK = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The cases to edit, in order.

    Attributes:
        cases: the cases.
        known: names of those whose true objects the base model gives.
        left_out: why other rows that were looked at are not among them -> how many.
    """

    cases: tuple[FieldCase, ...]
    known: frozenset[str]
    left_out: dict[str, int]


def select(
    host: LanguageModel,
    cases: Sequence[FieldCase],
    *,
    count: int,
    known_only: bool,
    seed: int,
    tell: Tell = lambda *_: None,
) -> Selection:
    """At most `count` cases, in an order that the seed decides.

    A case is left out where a prompt does not name its subject, and where it gives a fact another object than
    an earlier case does: only one of the two could be right after all edits. The model knows a case if it
    gives the true object, greedily, under every own prompt as the data set has it.

    Args:
        host: the base model.
        cases: all cases of the data set.
        count: most cases.
        known_only: only cases that the model knows.
        seed: seed of the order.
        tell: progress.

    Raises:
        UsageError: no case is left, or `known_only` on a data set that has no true objects.
    """
    if known_only and not any(edit.target_true for case in cases for edit in case.edits):
        raise UsageError("this data set does not tell which object an edit replaces: leave --known out")
    left_out = {"subject_not_named": 0, "contradicts_another": 0, "not_known": 0}
    usable = _usable(random.Random(seed).sample(list(cases), len(cases)), left_out)
    chosen: list[FieldCase] = []
    known: set[str] = set()
    while len(chosen) < count:
        size = CHUNK if known_only else count
        chunk = list(itertools.islice(usable, size))
        if not chunk:
            break
        found = known_cases(host, chunk)
        left_out["not_known"] += len(chunk) - len(found) if known_only else 0
        chosen += [case for case in chunk if case.name in found] if known_only else chunk
        known |= found
        tell("choosing cases", min(len(chosen), count), count)
    if not chosen:
        raise UsageError(f"none of the {len(cases)} cases can be used: {_counts(left_out)}")
    chosen = chosen[:count]
    return Selection(
        cases=tuple(chosen), known=frozenset(known & {case.name for case in chosen}), left_out=left_out
    )


def known_cases(host: LanguageModel, cases: Sequence[FieldCase]) -> set[str]:
    """Names of the cases whose true objects the model gives greedily under all own prompts."""
    asked = {
        case.name: [Given(one.prompt, one.rival) for one in case.asked(QuestionGroup.OWN) if one.rival]
        for case in cases
    }
    scores = score_answers(host, [one for rows in asked.values() for one in rows])
    return {
        case.name
        for case in cases
        if len(asked[case.name]) == len(case.edits) and all(scores[one].said for one in asked[case.name])
    }


def _usable(cases: Sequence[FieldCase], left_out: dict[str, int]) -> Iterator[FieldCase]:
    targets: dict[FactKey, str] = {}
    for case in cases:
        if any(edit.template is None for edit in case.edits):
            left_out["subject_not_named"] += 1
            continue
        own = {correction.key: correction.target_new for correction in case.corrections}
        if any(targets.get(key, target) != target for key, target in own.items()):
            left_out["contradicts_another"] += 1
            continue
        targets |= own
        yield case


def _counts(left_out: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in left_out.items())
