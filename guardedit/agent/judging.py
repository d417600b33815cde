"""Tier 1 for one set of edits: measure candidate, serving epoch and base model on the same probes, and judge.

A verdict other than `accept` is noted in the ledger here; an accepting one is recorded with its epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from guardedit.agent.parts import Parts
from guardedit.core.fact import Fact, FactKey
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, Verdict, combine

#: Gates that measure budgets shared by all edits; when one is used up, the layer is full.
BUDGETS = frozenset({"perplexity_ratio_to_base", "other_subject_to_base"})
#: Gates that do not decide about a removal, because the edits that stay have used up their limit.
_NOT_FOR_REMOVALS = BUDGETS | {"remembered"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSetup:
    """The inputs that all candidates of one trial share.

    Attributes:
        serving: edits of the serving epoch, with which candidates are compared.
        staying: edits that stay in the weights in every candidate.
        facts: fact id -> fact, for the facts of the edits on trial.
        live: the live facts, from which earlier edits and facts in memory are sampled.
        seed: seed of the samples.
        effort: factor on the usual sizes of the samples.
    """

    serving: Sequence[WeightEdit]
    staying: Sequence[WeightEdit]
    facts: Mapping[str, Fact]
    live: Mapping[FactKey, Fact]
    seed: int
    effort: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one candidate.

    Attributes:
        verdict: verdict on the candidate.
        unmeasurable: the verdict on the serving epoch, if that could not be measured on the same probes
            either. Then the candidate's error does not depend on its edits. None otherwise.
    """

    verdict: Verdict
    unmeasurable: Verdict | None


def judge_candidate(parts: Parts, setup: TrialSetup, edits: Sequence[WeightEdit]) -> Judgement:
    """The verdict on `edits` together with the staying edits."""
    return _judge(parts, setup, edits)


def judge_alone(parts: Parts, setup: TrialSetup, edit: WeightEdit) -> Judgement:
    """The verdict on one edit alone on the base model: it depends on no other edit."""
    return _judge(parts, replace(setup, serving=(), staying=(), live={}), [edit])


def judge_removal(parts: Parts, setup: TrialSetup) -> Judgement:
    """The verdict on the staying edits alone, which are fewer than those of the serving epoch.

    A removal is judged only by what it makes worse. So two kinds of gates do not decide: those on budgets
    that the staying edits have used up, and those that the serving epoch fails on the same probes, unless
    they name facts.
    """
    return _judge(parts, setup, (), removal=True)


def failing(verdict: Verdict) -> list[Gate]:
    """The gates that decide and did not pass."""
    return [gate for gate in verdict.gates if gate.outcome is not Outcome.ACCEPT and not gate.shadow]


def _judge(
    parts: Parts, setup: TrialSetup, edits: Sequence[WeightEdit], *, removal: bool = False
) -> Judgement:
    worker, guard = parts.worker, parts.guard
    batch = [setup.facts[fact] for edit in edits for fact in edit.facts]
    probes = guard.probes_for(batch, setup.live, seed=setup.seed, effort=setup.effort)
    started = parts.clock()
    candidate, serving, base = (
        worker.measure(these, probes) for these in ([*setup.staying, *edits], setup.serving, ())
    )
    verdict = guard.judge(candidate=candidate, serving=serving, base=base, probes=probes)
    of_serving = guard.judge(candidate=serving, serving=serving, base=base, probes=probes)
    if removal:
        verdict = _excused(verdict, _NOT_FOR_REMOVALS | _unnamed_failures(of_serving))
    seconds = parts.clock() - started
    parts.observe(Event(kind="judged", fields={"verdict": verdict, "facts": len(batch), "seconds": seconds}))
    if verdict.outcome is not Outcome.ACCEPT:
        digests = sorted(edit.digest for edit in edits)
        parts.ledger.note("trial", {"edits": digests, "verdict": verdict.to_json()})
    unmeasurable = of_serving if of_serving.outcome is Outcome.ERROR else None
    return Judgement(verdict=verdict, unmeasurable=unmeasurable)


def _unnamed_failures(verdict: Verdict) -> set[str]:
    return {gate.name for gate in failing(verdict) if not gate.failing_facts}


def _excused(verdict: Verdict, names: Collection[str]) -> Verdict:
    """The verdict with these gates measured but not deciding."""
    gates = tuple(replace(gate, shadow=gate.shadow or gate.name in names) for gate in verdict.gates)
    return replace(combine(gates, probe_sha256=verdict.probe_sha256), measured=verdict.measured)
