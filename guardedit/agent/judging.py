"""Tier 1 for one set of edits: measure candidate, serving epoch and base model on the same probes, and judge.

Each model is asked only what a gate reads of it. The questions that are all asked come first, with a part of
the texts: if they reject a candidate, no sampled answer could save it, and the rest is left out.

A verdict other than `accept` is noted in the ledger here; an accepting one is recorded with its epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from guardedit.agent.parts import Guard, Parts
from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Measurement, Probes, QuestionKind
from guardedit.core.proposal import WeightEdit
from guardedit.core.protocols import Event, Worker
from guardedit.core.verdict import Gate, Outcome, Verdict, combine

#: Gates that measure budgets shared by all edits; when one is used up, the layer is full.
BUDGETS = frozenset({"perplexity_ratio_to_base", "other_subject_to_base"})
#: Gates on texts.
_ON_TEXTS = frozenset({"perplexity_ratio_to_serving", "perplexity_ratio_to_base", "worst_sentence_ratio"})
#: Gates on questions that are samples.
_OF_SAMPLES = frozenset({"other_subject", "other_subject_to_base", "earlier", "remembered"})
#: Gates that do not decide about a removal, because the edits that stay have used up their limit.
_NOT_FOR_REMOVALS = BUDGETS | {"remembered"}
_OWN = frozenset({QuestionKind.RELIABILITY, QuestionKind.PARAPHRASE})
#: Kinds of which every question is asked, so that they can reject without the samples.
_ASKED_IN_FULL = _OWN | {QuestionKind.SAME_SUBJECT}
#: What is read of the serving epoch, and of the base model.
_OF_SERVING = frozenset({QuestionKind.SAME_SUBJECT, QuestionKind.OTHER_SUBJECT, QuestionKind.EARLIER})
_OF_BASE = _OWN | {QuestionKind.OTHER_SUBJECT, QuestionKind.REMEMBERED}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a candidate is judged by: three measurements.

    Attributes:
        candidate: of all questions.
        serving: of the serving epoch, where its answers are compared.
        base: of the base model, where its answers are compared.
    """

    candidate: Measurement
    serving: Measurement
    base: Measurement


def measure_trial(
    worker: Worker, probes: Probes, *, candidate: Sequence[WeightEdit], serving: Sequence[WeightEdit]
) -> Measured:
    """Measure candidate, serving epoch and base model, each on the questions that are read of it."""
    return Measured(
        candidate=worker.measure(candidate, probes),
        serving=worker.measure(serving, _of_kinds(probes, _OF_SERVING)),
        base=worker.measure((), _of_kinds(probes, _OF_BASE)),
    )


def judge_candidate(
    parts: Parts, setup: TrialSetup, edits: Sequence[WeightEdit], *, in_full: bool = False
) -> Judgement:
    """The verdict on `edits` together with the staying edits; `in_full` also asks what cannot save them."""
    return _judge(parts, setup, edits, in_full=in_full)


def shows_budgets(verdict: Verdict) -> bool:
    """Whether a verdict tells if a budget is used up; an early rejection leaves out the samples for it."""
    used_up = not BUDGETS.isdisjoint(gate.name for gate in failing(verdict))
    return used_up or verdict.outcome is not Outcome.REJECT or verdict.measured.keys() >= BUDGETS


def judge_alone(parts: Parts, setup: TrialSetup, edit: WeightEdit) -> Judgement:
    """The verdict on one edit alone on the base model: it depends on no other edit."""
    return _judge(parts, replace(setup, serving=(), staying=(), live={}), [edit])


def judge_removal(parts: Parts, setup: TrialSetup) -> Judgement:
    """The verdict on the staying edits alone, which are fewer than those of the serving epoch.

    A removal is judged only by what it makes worse. So two kinds of gates do not decide: those on budgets
    that the staying edits have used up, and those that the serving epoch fails on the same probes, unless
    they name facts.
    """
    return _judge(parts, setup, (), removal=True, in_full=True)


def failing(verdict: Verdict) -> list[Gate]:
    """The gates that decide and did not pass."""
    return [gate for gate in verdict.gates if gate.outcome is not Outcome.ACCEPT and not gate.shadow]


def _judge(
    parts: Parts,
    setup: TrialSetup,
    edits: Sequence[WeightEdit],
    *,
    removal: bool = False,
    in_full: bool = False,
) -> Judgement:
    batch = [setup.facts[fact] for edit in edits for fact in edit.facts]
    probes = parts.guard.probes_for(batch, setup.live, seed=setup.seed, effort=setup.effort)
    started = parts.clock()
    candidate = [*setup.staying, *edits]
    parts.observe(Event(kind="stage", fields={"name": "trying", "subjects": len(edits)}))
    verdict, of_serving = verdicts(
        parts.guard, parts.worker, probes, candidate=candidate, serving=setup.serving, in_full=in_full
    )
    if removal:
        verdict = _excused(verdict, _NOT_FOR_REMOVALS | _unnamed_failures(of_serving))
    seconds = parts.clock() - started
    parts.observe(Event(kind="judged", fields={"verdict": verdict, "facts": len(batch), "seconds": seconds}))
    if verdict.outcome is not Outcome.ACCEPT:
        digests = sorted(edit.digest for edit in edits)
        facts = sorted(fact.id for fact in batch)
        note = {"edits": digests, "facts": facts, "seconds": seconds, "verdict": verdict.to_json()}
        parts.ledger.note("trial", note)
    unmeasurable = of_serving if of_serving.outcome is Outcome.ERROR else None
    return Judgement(verdict=verdict, unmeasurable=unmeasurable)


def verdicts(
    guard: Guard,
    worker: Worker,
    probes: Probes,
    *,
    candidate: Sequence[WeightEdit],
    serving: Sequence[WeightEdit],
    in_full: bool = False,
) -> tuple[Verdict, Verdict]:
    """The verdicts on a candidate and on the serving epoch, from as few probes as decide.

    1. A part of the texts, and the questions that are all asked. If these reject, the trial ends.
    2. All questions. The other texts are read unless the first ones have clearly passed.

    `in_full` leaves out the first step. What was measured before is not asked again.
    """

    def look(some: Probes, *, final: bool) -> tuple[Verdict, Verdict]:
        found = measure_trial(worker, some, candidate=candidate, serving=serving)
        of_serving = replace(found, candidate=found.serving)
        compared = _of_kinds(some, _OF_SERVING)
        return (
            _judged(guard, found, some, final=final),
            _judged(guard, of_serving, compared, final=final),
        )

    part = probes if in_full else guard.first_look(probes)
    first = probes if in_full else _of_kinds(part, _ASKED_IN_FULL)
    if first != probes:
        found = look(first, final=False)
        if found[0].outcome is Outcome.REJECT:
            return _asked_only(found[0]), found[1]
        if all(gate.outcome is Outcome.ACCEPT for gate in found[0].gates if gate.name in _ON_TEXTS):
            probes = replace(probes, texts=part.texts)
    return look(probes, final=True)


def _judged(guard: Guard, found: Measured, probes: Probes, *, final: bool) -> Verdict:
    return guard.judge(
        candidate=found.candidate, serving=found.serving, base=found.base, probes=probes, final=final
    )


def _of_kinds(probes: Probes, kinds: Collection[QuestionKind]) -> Probes:
    """The probes with the questions of these kinds only."""
    return replace(probes, questions=tuple(q for q in probes.questions if q.kind in kinds))


def _asked_only(verdict: Verdict) -> Verdict:
    """The verdict without the gates on samples, of which nothing was asked."""
    gates = tuple(gate for gate in verdict.gates if gate.name not in _OF_SAMPLES)
    measured = {name: value for name, value in verdict.measured.items() if name not in _OF_SAMPLES}
    return replace(combine(gates, probe_sha256=verdict.probe_sha256), measured=measured)


def _unnamed_failures(verdict: Verdict) -> set[str]:
    return {gate.name for gate in failing(verdict) if not gate.failing_facts}


def _excused(verdict: Verdict, names: Collection[str]) -> Verdict:
    """The verdict with these gates measured but not deciding."""
    gates = tuple(replace(gate, shadow=gate.shadow or gate.name in names) for gate in verdict.gates)
    return replace(combine(gates, probe_sha256=verdict.probe_sha256), measured=verdict.measured)
