"""False rejections: benign edits that the guard turned away although, alone on the base model, they pass.

Tries each such edit again. Knows the guard and a worker; whether the layer was full is the ledger's word.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """Of `sent` benign facts that the policy sent to the weights, `away` were turned away by the guard.

    `false` names those whose edit passes alone, with the reason that was given.
    """

    sent: int
    away: int
    false: Mapping[str, str]

    @property
    def share(self) -> float:
        """False rejections over all benign facts sent; NaN of none."""
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
    """Try every benign edit again that was turned away while there was room.

    Args:
        ledger: of the whole run.
        worker: to propose and measure on the base model alone.
        guard: with the limits that were in force.
        known_questions: a subject's other answers, as the editor was told to keep them.
        disabling: correction ids that are meant to be turned away.
        seed: of the guard's samples.
    """
    facts = recorded_facts(ledger)
    benign = [f for f in facts.values() if f.method and f.correction_id not in disabling]
    away: dict[str, str] = {}
    groups: list[SubjectGroup] = []
    for group, reasons in _turned_away(ledger, facts, {fact.id for fact in benign}):
        away |= reasons
        keep = tuple(
            question
            for question in known_questions(group[0].key.subject)
            if question.relation not in {fact.key.relation for fact in group}
        )
        groups.append(SubjectGroup(subject=group[0].key.subject, facts=group, keep=keep))
    passing = {
        fact.id for group in groups if passes_alone(worker, guard, group, seed) for fact in group.facts
    }
    return FalseRejections(
        sent=len(benign), away=len(away), false={name: why for name, why in away.items() if name in passing}
    )


def passes_alone(worker: Worker, guard: Guard, group: SubjectGroup, seed: int) -> bool:
    """Whether the edit of a group, alone in the base model, passes every gate. No edit does not pass."""
    edits = worker.propose(group.facts[0].method, [group], ()).edits
    if {name for edit in edits for name in edit.facts} != {fact.id for fact in group.facts}:
        return False
    _, failing = guard.inspect(worker.inspect(edits, ()), capacity_ratio=worker.capacity_ratio(edits))
    if failing:
        return False
    probes = guard.probes_for(group.facts, {}, seed=seed)
    base = worker.measure((), probes)
    verdict = guard.judge(candidate=worker.measure(edits, probes), serving=base, base=base, probes=probes)
    return verdict.outcome is Outcome.ACCEPT


def _turned_away(
    ledger: LedgerReader, facts: Mapping[str, Fact], benign: Collection[str]
) -> list[tuple[tuple[Fact, ...], dict[str, str]]]:
    """For each subject's edit that was turned away: its facts as they were tried, and the reasons."""
    found: list[tuple[tuple[Fact, ...], dict[str, str]]] = []
    live: dict[FactKey, tuple[str, bool]] = {}  # fact id, and whether it is in the weights
    before = live
    for _, kind, body in ledger.events(kinds=("epoch", "kept")):
        if kind == "epoch":
            before = dict(live)
            for change in body["changes"]:
                _follow(live, change)
            continue
        by_subject: dict[str, dict[str, str]] = {}
        for name, said in body["facts"].items():
            if name in benign and (kept := Kept(**said)).turned_away:
                by_subject.setdefault(facts[name].key.subject, {})[name] = kept.reason
        for subject, reasons in by_subject.items():
            # The epoch of the same turn may have moved the subject's other facts out already.
            placed = {name for state in (before, live) for name, inside in _about(state, subject) if inside}
            present = {name for name, _ in _about(live, subject)}
            tried = sorted({*reasons, *(placed & present)})
            found.append((tuple(facts[name] for name in tried), reasons))
    return found


def _follow(live: dict[FactKey, tuple[str, bool]], change: Mapping[str, Any]) -> None:
    key, fact = FactKey(*change["key"]), change["fact"]
    live.pop(key, None)
    if fact is not None:
        live[key] = (change["fact_id"], fact["placement"] == Placement.WEIGHTS)


def _about(live: Mapping[FactKey, tuple[str, bool]], subject: str) -> list[tuple[str, bool]]:
    return [state for key, state in live.items() if key.subject == subject]
