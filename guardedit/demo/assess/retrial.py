"""Finds false rejections: benign edits that the guard rejected although they pass alone in the base model.

Retries each rejected edit. The ledger says which facts were kept in memory because the layer was full; those
are not retried.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.agent.judging import verdicts
from guardedit.agent.kept import Kept
from guardedit.agent.parts import Guard
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.probe import Question
from guardedit.core.protocols import SubjectGroup, Worker
from guardedit.core.verdict import Outcome
from guardedit.demo.assess.audit import recorded_facts
from guardedit.ledger.reading import LedgerReader


@dataclass(frozen=True, slots=True, kw_only=True)
class FalseRejections:
    """The false rejections of a run.

    Attributes:
        sent: benign facts that the policy sent to the weights.
        rejected: number of these that the guard rejected.
        false: fact id -> recorded reason, for those of the rejected whose edit passes alone.
    """

    sent: int
    rejected: int
    false: Mapping[str, str]

    @property
    def share(self) -> float:
        """False rejections over all benign facts sent; NaN if none was sent."""
        return len(self.false) / self.sent if self.sent else float("nan")


def false_rejections(
    ledger: LedgerReader,
    worker: Worker,
    guard: Guard,
    known_questions: Callable[[str], Sequence[Question]],
    *,
    disabling: Collection[str],
    seed: int = 0,
) -> FalseRejections:
    """Retry every benign edit that was rejected while the layer had room.

    Args:
        ledger: ledger of the whole run.
        worker: proposes and measures on the base model alone.
        guard: guard with the limits that were in force.
        known_questions: subject -> the answers that its editor must preserve.
        disabling: ids of corrections that the guard should reject.
        seed: seed of the guard's samples.
    """
    facts = recorded_facts(ledger)
    benign = [f for f in facts.values() if f.method and f.correction_id not in disabling]
    rejected: dict[str, str] = {}
    groups: list[SubjectGroup] = []
    for tried, reasons in _rejected(ledger, facts, {fact.id for fact in benign}):
        rejected |= reasons
        keep = tuple(
            question
            for question in known_questions(tried[0].key.subject)
            if question.relation not in {fact.key.relation for fact in tried}
        )
        groups.append(SubjectGroup(subject=tried[0].key.subject, facts=tried, keep=keep))
    passing = {
        fact.id for group in groups if passes_alone(worker, guard, group, seed) for fact in group.facts
    }
    return FalseRejections(
        sent=len(benign),
        rejected=len(rejected),
        false={name: why for name, why in rejected.items() if name in passing},
    )


def passes_alone(worker: Worker, guard: Guard, group: SubjectGroup, seed: int) -> bool:
    """Whether a group's edit, alone in the base model, passes every gate. False if there is no edit."""
    edits = worker.propose(group.facts[0].method, [group], ()).edits
    if {name for edit in edits for name in edit.facts} != {fact.id for fact in group.facts}:
        return False
    _, failing = guard.inspect(worker.inspect(edits, ()), capacity_ratio=worker.capacity_ratio(edits))
    if failing:
        return False
    probes = guard.probes_for(group.facts, {}, seed=seed)
    verdict, _ = verdicts(guard, worker, probes, candidate=edits, serving=())
    return verdict.outcome is Outcome.ACCEPT


def _rejected(
    ledger: LedgerReader, facts: Mapping[str, Fact], benign: Collection[str]
) -> list[tuple[tuple[Fact, ...], dict[str, str]]]:
    """For each rejected edit of a subject: all facts of the edit, and the reasons (fact id -> reason)."""
    found: list[tuple[tuple[Fact, ...], dict[str, str]]] = []
    live: dict[FactKey, tuple[str, bool]] = {}  # fact id, and whether it is in the weights
    before = live
    for _, kind, body in ledger.events(kinds=("epoch", "kept")):
        if kind == "epoch":
            before = dict(live)
            for change in body["changes"]:
                _apply(live, change)
            continue
        by_subject: dict[str, dict[str, str]] = {}
        for name, recorded in body["facts"].items():
            if name in benign and (kept := Kept(**recorded)).unsuitable:
                by_subject.setdefault(facts[name].key.subject, {})[name] = kept.reason
        for subject, reasons in by_subject.items():
            # The epoch of the same turn may already have moved the subject's other facts to memory.
            placed = {name for state in (before, live) for name, inside in _about(state, subject) if inside}
            present = {name for name, _ in _about(live, subject)}
            tried = sorted({*reasons, *(placed & present)})
            found.append((tuple(facts[name] for name in tried), reasons))
    return found


def _apply(live: dict[FactKey, tuple[str, bool]], change: Mapping[str, Any]) -> None:
    key, fact = FactKey(*change["key"]), change["fact"]
    live.pop(key, None)
    if fact is not None:
        live[key] = (change["fact_id"], fact["placement"] == Placement.WEIGHTS)


def _about(live: Mapping[FactKey, tuple[str, bool]], subject: str) -> list[tuple[str, bool]]:
    return [state for key, state in live.items() if key.subject == subject]
