"""The published metrics of the data sets, for one case each, from scores and free answers. Pure.

CounterFact's, as in the code of ROME and MEMIT (Meng et al. 2022, arXiv:2202.05262), where P is the
exponential of the *mean* log-probability of an answer's tokens, not of their sum:

- `ES`, `PS`: share of own prompts and of paraphrases with P(new) > P(true); `NS`: share of neighbours with
  P(true) > P(new). A tie counts as a failure in all of them. `EM`, `PM`, `NM` are the mean differences.
- `S`: harmonic mean of ES, PS and NS.

Those of zsRE, as in the code of MEND, ROME and EasyEdit: the answer is given token by token, and a token
counts where it is the most likely one.

- `reliability`, `generalization`, `portability`: share of the right answer's tokens.
- `locality`: share of the places where the most likely token is that of the base model, right or wrong.

Free answers, in the form in which the model is served: `contains` is the share of answers whose first
sentence names the object, `exact` the share that is nothing else. `multi_hop` is MQuAKE's: a case counts if
any of its questions is answered with the new object or an alias.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from guardedit.guard.right_answers import normalise
from guardedit.lab.field.cases import FieldCase, FieldQuestion, QuestionGroup
from guardedit.lab.field.intervals import mean
from guardedit.lab.field.scoring import Scored
from guardedit.naming import contains_name

#: Groups whose answers an edit should not change; `locality` is measured on them.
UNCHANGED = (QuestionGroup.NEIGHBOUR, QuestionGroup.LOCALITY)
#: Groups that are asked freely.
FREE = (
    QuestionGroup.OWN,
    QuestionGroup.PARAPHRASE,
    QuestionGroup.NEIGHBOUR,
    QuestionGroup.LOCALITY,
    QuestionGroup.PORTABILITY,
    QuestionGroup.MULTI_HOP,
)
#: Most questions of one case in the groups of `UNCHANGED` that are asked freely.
FREE_UNCHANGED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOutcome:
    """What one set of weights and facts made of the questions.

    Attributes:
        scores: (question, answer) -> score of the given answer.
        answers: question -> free answer.
    """

    scores: Mapping[tuple[str, str], Scored]
    answers: Mapping[str, str]


#: From a case, the outcome, and that of the base model to the value of the case; NaN without a question.
Metric = Callable[[FieldCase, FieldOutcome, FieldOutcome], float]


def given_answers(case: FieldCase) -> list[tuple[str, str]]:
    """The (question, answer) pairs to score for the metrics of a case."""
    pairs = []
    for one in case.questions:
        if one.group in (QuestionGroup.ATTRIBUTE, QuestionGroup.MULTI_HOP):
            continue
        pairs += [(one.prompt, answer) for answer in (one.wanted, one.rival) if answer]
    return pairs


def free_questions(case: FieldCase) -> list[FieldQuestion]:
    """The questions of a case that are asked freely; of those to be left unchanged the first few."""
    found: list[FieldQuestion] = []
    for group in FREE:
        found += case.asked(group)[: FREE_UNCHANGED if group in UNCHANGED else None]
    return found


def _preferred(group: QuestionGroup) -> Metric:
    """Share of questions where the wanted answer is more likely than its rival."""

    def value(case: FieldCase, after: FieldOutcome, _: FieldOutcome) -> float:
        return mean([float(wanted > rival) for wanted, rival in _both(case, group, after)])

    return value


def _difference(group: QuestionGroup) -> Metric:
    """Mean difference of the two probabilities."""

    def value(case: FieldCase, after: FieldOutcome, _: FieldOutcome) -> float:
        return mean([math.exp(wanted) - math.exp(rival) for wanted, rival in _both(case, group, after)])

    return value


def _both(case: FieldCase, group: QuestionGroup, after: FieldOutcome) -> list[tuple[float, float]]:
    """Mean log-probabilities of the wanted answer and of its rival, for questions that have one."""
    return [
        (after.scores[one.prompt, one.wanted].logprob_nats, after.scores[one.prompt, one.rival].logprob_nats)
        for one in case.asked(group)
        if one.rival
    ]


def _matched(group: QuestionGroup) -> Metric:
    """Share of the wanted answer's tokens that are the most likely ones, averaged over the questions."""

    def value(case: FieldCase, after: FieldOutcome, _: FieldOutcome) -> float:
        return mean([after.scores[one.prompt, one.wanted].matched for one in case.asked(group)])

    return value


def _locality(case: FieldCase, after: FieldOutcome, base: FieldOutcome) -> float:
    shares = []
    for one in case.asked(*UNCHANGED):
        now = after.scores[one.prompt, one.wanted].likeliest
        before = base.scores[one.prompt, one.wanted].likeliest
        shares.append(sum(a == b for a, b in zip(now, before, strict=True)) / len(now))
    return mean(shares)


def _contains(*groups: QuestionGroup) -> Metric:
    def value(case: FieldCase, after: FieldOutcome, _: FieldOutcome) -> float:
        return mean([float(_names(one, after.answers[one.prompt])) for one in _free(case, *groups)])

    return value


def _exact(*groups: QuestionGroup) -> Metric:
    def value(case: FieldCase, after: FieldOutcome, _: FieldOutcome) -> float:
        asked = _free(case, *groups)
        return mean([float(normalise(after.answers[q.prompt]) in _accepted(q)) for q in asked])

    return value


def _unchanged(case: FieldCase, after: FieldOutcome, base: FieldOutcome) -> float:
    asked = _free(case, *UNCHANGED)
    return mean([float(after.answers[one.prompt] == base.answers[one.prompt]) for one in asked])


def _multi_hop(case: FieldCase, after: FieldOutcome, _: FieldOutcome) -> float:
    asked = _free(case, QuestionGroup.MULTI_HOP)
    return float(any(_names(one, after.answers[one.prompt]) for one in asked)) if asked else math.nan


def _free(case: FieldCase, *groups: QuestionGroup) -> list[FieldQuestion]:
    return [one for one in free_questions(case) if one.group in groups]


def _names(question: FieldQuestion, answer: str) -> bool:
    return any(contains_name(answer, name) for name in (question.wanted, *question.aliases))


def _accepted(question: FieldQuestion) -> set[str]:
    return {normalise(name) for name in (question.wanted, *question.aliases)}


#: Name -> value of one case. `S` is computed from the means of three of them.
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "ES": _preferred(QuestionGroup.OWN),
        "PS": _preferred(QuestionGroup.PARAPHRASE),
        "NS": _preferred(QuestionGroup.NEIGHBOUR),
        "EM": _difference(QuestionGroup.OWN),
        "PM": _difference(QuestionGroup.PARAPHRASE),
        "NM": _difference(QuestionGroup.NEIGHBOUR),
        "reliability": _matched(QuestionGroup.OWN),
        "generalization": _matched(QuestionGroup.PARAPHRASE),
        "locality": _locality,
        "portability": _matched(QuestionGroup.PORTABILITY),
        "free_own_contains": _contains(QuestionGroup.OWN),
        "free_own_exact": _exact(QuestionGroup.OWN),
        "free_paraphrase_contains": _contains(QuestionGroup.PARAPHRASE),
        "free_paraphrase_exact": _exact(QuestionGroup.PARAPHRASE),
        "free_others_contain": _contains(*UNCHANGED),
        "free_others_unchanged": _unchanged,
        "free_portability_contains": _contains(QuestionGroup.PORTABILITY),
        "multi_hop": _multi_hop,
    }
)
#: Metrics that are 0 or 1 for a case with one edit, so that Wilson's interval applies. `multi_hop` is 0 or 1
#: for every case.
ONE_QUESTION = frozenset({"ES", "free_own_contains", "free_own_exact"})
#: The metrics whose harmonic mean is `S`.
SCORE = ("ES", "PS", "NS")
