"""Step 6, first part: choose the facts of the next trial, within the batch size and the layer's capacity."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from guardedit.agent.kept import FULL, Kept
from guardedit.agent.parts import Parts
from guardedit.agent.proposing import group_by_subject, stale
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.core.serving import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The facts and edits of one trial.

    Attributes:
        found: the serving epoch when the batch was chosen.
        subjects: those of the new facts and those with a stale edit; their edits are remade.
        groups: the new facts, and the facts of the same subjects that are in the weights.
        new: ids of the facts that come from memory.
        effort: factor on the usual sizes of the guard's samples.
    """

    found: Snapshot
    subjects: frozenset[str]
    groups: tuple[SubjectGroup, ...]
    new: frozenset[str]
    effort: int

    @property
    def facts(self) -> dict[str, Fact]:
        """Every fact on trial, by id."""
        return {fact.id: fact for group in self.groups for fact in group.facts}

    @property
    def staying(self) -> list[WeightEdit]:
        """The serving edits of all other subjects."""
        return [edit for edit in self.found.edits if edit.subject not in self.subjects]


def choose_batch(
    parts: Parts, found: Snapshot, queue: Sequence[Fact], kept: Mapping[str, Kept], *, free: int
) -> Batch:
    """The next facts of `queue` and the subjects with a stale edit. A batch without subjects needs no trial.

    `found` is the serving epoch, `kept` are the facts that currently stay out of the weights, and `free` is
    the number of subjects that the layer has room for.
    """
    new = choose(_fresh_first(queue, kept), subjects=min(parts.limits.batch, free))
    placed = [fact for fact in found.facts if fact.placement is Placement.WEIGHTS]
    subjects = {fact.key.subject for fact in new} | set(stale(found.edits, placed))
    same_subjects = [fact for fact in placed if fact.key.subject in subjects]
    return Batch(
        found=found,
        subjects=frozenset(subjects),
        groups=tuple(group_by_subject([*new, *same_subjects], parts.known_questions)),
        new=frozenset(fact.id for fact in new),
        effort=max((_effort(fact, kept) for fact in new), default=1),
    )


def waiting(live: Mapping[FactKey, Fact], kept: Mapping[str, Kept]) -> list[Fact]:
    """Facts that the policy wants in the weights and that nothing keeps in memory, in the order of `live`.

    Only facts of the tenant `default`, because all tenants share the weights.
    """
    return [
        fact
        for fact in live.values()
        if fact.placement is Placement.MEMORY
        and fact.method
        and fact.key.tenant == "default"
        and fact.valid_until_s is None
        and (fact.id not in kept or kept[fact.id].waits)
    ]


def choose(candidates: Sequence[Fact], *, subjects: int) -> list[Fact]:
    """The candidates of the first `subjects` subjects that have the first candidate's method."""
    chosen: dict[str, list[Fact]] = {}
    for fact in candidates:
        if fact.method != candidates[0].method:
            continue
        if fact.key.subject in chosen or len(chosen) < subjects:
            chosen.setdefault(fact.key.subject, []).append(fact)
    return [fact for facts in chosen.values() for fact in facts]


def room(parts: Parts, edits: Sequence[WeightEdit]) -> int:
    """How many more subjects fit into the edited layer before the policy's capacity limit."""
    if not edits or math.isinf(parts.limits.capacity_ratio):  # without a guard there is no limit
        return parts.limits.batch
    used = parts.worker.capacity_ratio(edits)
    each = used / len(edits)
    return max(0, int((parts.limits.capacity_ratio - used) / each)) if each > 0 else parts.limits.batch


def no_room(parts: Parts, queue: Iterable[Fact]) -> dict[str, Kept]:
    """The facts of the queue, kept in memory because the layer is full."""
    reason = f"layer full: capacity_ratio has reached its limit {parts.limits.capacity_ratio:.4g}"
    return {fact.id: Kept(code=FULL, reason=reason) for fact in queue}


def _fresh_first(queue: Sequence[Fact], kept: Mapping[str, Kept]) -> list[Fact]:
    """Facts that were never tried; if there are none, undecided ones, which get more probes."""
    return [fact for fact in queue if fact.id not in kept] or list(queue)


def _effort(fact: Fact, kept: Mapping[str, Kept]) -> int:
    """Twice the probes for each trial that could not decide."""
    return 2 ** kept[fact.id].tries if fact.id in kept else 1
