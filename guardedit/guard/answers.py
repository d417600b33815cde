"""The gates on answers: whether the edits took effect, and whether all other answers are kept.

A gate counts right answers (`right_answers`). Its share of lost answers may be at most (1 - limit) + noise.
The noise is the share that changes by harmless edits of this model (`noise`), and at most 1 - limit: a model
whose answers change more often cannot be guarded with this limit. At or below it the gate passes. Above it
the gate rejects if its test finds so many losses improbable (below 1 - confidence), else it is inconclusive,
and the facts are tried again with larger samples.

| gate | asked | counted | a loss is | rejects when these are improbable |
|---|---|---|---|---|
| `reliability`, `paraphrase` | all | all | the target is not said | the losses, by noise alone |
| `same_subject` | all | what serving has right | another answer | the losses, by noise alone; and McNemar |
| `other_subject` | sample | what serving has right | another answer | the losses, at the allowed share |
| `other_subject_to_base` | sample | what the base has right | another answer | as above |
| `earlier` | sample | what serving has right | not the target | as above; and McNemar |
| `remembered` | sample | what the base has right | not the target | as above |

The losses are tested by `significance.loss_tail`: an exact binomial tail, or a beta-binomial one where noise
was measured. Questions that are all asked are no sample, so without noise every loss is certain. McNemar's
exact test on the changed pairs is added where the candidate has gained answers, too: gains show that answers
change either way by chance, and then the losses must outnumber them.

A question without a known answer is compared with the serving epoch by its first clause. All functions are
pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from guardedit.core.probe import Measurement, Probes, QuestionKind
from guardedit.core.verdict import Gate, LostAnswer, Outcome
from guardedit.guard.answer_counts import OWN, GateCounts
from guardedit.guard.gates import at_least, undecided, unmeasured
from guardedit.guard.limits import GuardLimits
from guardedit.guard.noise import KindNoise, Noise
from guardedit.guard.significance import loss_tail, mcnemar_tail
from guardedit.naming import identity

_SAMPLED = frozenset({QuestionKind.OTHER_SUBJECT, QuestionKind.EARLIER, QuestionKind.REMEMBERED})
#: Most lost answers, and most characters of each, that a gate records.
_MOST_LOST, _MOST_CHARACTERS = 20, 200
_PAIRED = frozenset({QuestionKind.SAME_SUBJECT, QuestionKind.EARLIER})


def answer_gates(
    counts: Sequence[GateCounts], candidate: Measurement, probes: Probes, limits: GuardLimits, noise: Noise
) -> list[Gate]:
    """One gate for each of the counts.

    A kind of which nothing counts has no gate. For example, an undo that edits nothing has no reliability
    gate. The exception is other subjects: too few questions about them make the trial inconclusive.
    """
    subjects = _edited_subjects(probes)
    gates = []
    for found in counts:
        limit = getattr(limits, f"min_{found.gate}")
        if found.missing:
            gates.append(_missing_gate(found, limit))
        elif found.counted:
            about = {} if found.kind is QuestionKind.OTHER_SUBJECT else subjects
            usual = noise.of(found.gate).at_most(1.0 - limit)
            gates.append(_gate(found, candidate, limit, usual, subjects=about, confidence=limits.confidence))
    return _with_enough_other_subjects(gates, counts, limits)


def answer_numbers(counts: Sequence[GateCounts]) -> dict[str, float]:
    """Numbers beside the gates: the shares of exact answers, and how many questions were not counted."""
    exact = {f"{found.gate}_exact": found.exact for found in counts if found.exact is not None}
    return exact | {f"{found.gate}_not_counted": float(found.ignored) for found in counts if found.ignored}


def _missing_gate(found: GateCounts, limit: float) -> Gate:
    detail = (
        f"{len(found.missing)} answers are missing, the first to {found.missing[0].wording!r}: measure again"
    )
    return unmeasured(found.gate, limit, maximum=False, detail=detail)


def _gate(
    found: GateCounts,
    candidate: Measurement,
    limit: float,
    noise: KindNoise,
    *,
    subjects: Mapping[str, Sequence[str]],
    confidence: float,
) -> Gate:
    least = max(0.0, round(limit - noise.share, 12))  # rounded, so that a share equal to it passes
    gate = at_least(
        found.gate,
        (len(found.counted) - len(found.lost)) / len(found.counted),
        least,
        detail=_detail(found, candidate, noise),
        certain=_is_certain(found, limit, noise, alpha=1.0 - confidence),
        failing_facts=_failing_facts(found, subjects, least),
    )
    return replace(gate, lost=_lost_answers(found, candidate))


def _is_certain(found: GateCounts, limit: float, noise: KindNoise, *, alpha: float) -> bool:
    """Whether so many losses are improbable, see the table above."""
    spared = 1.0 - limit if found.kind in _SAMPLED else 0.0
    if loss_tail(len(found.lost), len(found.counted), spared=spared, noise=noise) >= alpha:
        return False
    paired = found.kind in _PAIRED and found.gained > 0
    return not paired or mcnemar_tail(len(found.lost), found.gained) < alpha


def _with_enough_other_subjects(
    gates: Sequence[Gate], counts: Sequence[GateCounts], limits: GuardLimits
) -> list[Gate]:
    """The gates, with those on other subjects inconclusive where too few questions count."""
    found = next((c for c in counts if c.gate == "other_subject"), None)
    counted = 0 if found is None else len(found.counted)
    if counted >= limits.min_other_subject_questions or (found is not None and found.missing):
        return list(gates)
    why = (
        f"{counted} questions about other subjects, at least {limits.min_other_subject_questions} "
        "are needed: add known facts to the probe set"
    )
    doubted = [undecided(g, detail=why) if g.name.startswith("other_subject") else g for g in gates]
    if counted:
        return doubted
    limit, outcome = limits.min_other_subject, Outcome.INCONCLUSIVE
    return [*doubted, unmeasured("other_subject", limit, maximum=False, detail=why, outcome=outcome)]


def _edited_subjects(probes: Probes) -> dict[str, list[str]]:
    """Subject -> ids of the batch's facts about it, which share one weight edit."""
    subjects: dict[str, list[str]] = defaultdict(list)
    for question in probes.questions:
        if question.kind is QuestionKind.RELIABILITY:
            subjects[identity(question.subject)].append(question.fact_id)
    return dict(subjects)


def _failing_facts(found: GateCounts, subjects: Mapping[str, Sequence[str]], least: float) -> set[str]:
    """Ids of the facts whose own share of right answers is below the limit.

    A question without a fact id counts for all facts of the batch about its subject, if there are any.
    """
    asked: dict[str, int] = defaultdict(int)
    failed: dict[str, int] = defaultdict(int)
    for counts, questions in ((asked, found.counted), (failed, found.lost)):
        for question in questions:
            for fact_id in (
                [question.fact_id] if question.fact_id else subjects.get(identity(question.subject), ())
            ):
                counts[fact_id] += 1
    return {name for name, count in failed.items() if (asked[name] - count) / asked[name] < least}


def _lost_answers(found: GateCounts, candidate: Measurement) -> tuple[LostAnswer, ...]:
    return tuple(
        LostAnswer(
            question=question.wording[:_MOST_CHARACTERS],
            expected=(question.expected or found.before.get(question.prompt, ""))[:_MOST_CHARACTERS],
            answer=candidate.answers.get(question.prompt, "")[:_MOST_CHARACTERS],
        )
        for question in found.lost[:_MOST_LOST]
    )


def _detail(found: GateCounts, candidate: Measurement, noise: KindNoise) -> str:
    kept = len(found.counted) - len(found.lost)
    verb = "are right" if found.kind in OWN else "are kept"
    parts = [f"{kept} of {len(found.counted)} answers {verb}"]
    if found.exact is not None and found.exact < 1.0:
        parts.append(f"{found.exact:.0%} word for word")
    if found.ignored:
        parts.append(f"{found.ignored} more do not count, because they were wrong before")
    if noise.share:
        parts.append(f"harmless edits of this model lose {noise.share:.1%}")
    if found.lost:
        first = found.lost[0]
        parts.append(f"{first.wording!r} is now answered {candidate.answers[first.prompt][:60]!r}")
    return "; ".join(parts)
