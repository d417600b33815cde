"""Chooses the facts that answer a question among those that are in scope of its clauses. Pure.

A clause asks for one fact, the best one; of a many-valued relation it asks for all. Of facts that say the
same thing of the same subject, one is left: the tenant's own before that of `default`, then the higher
version, then the one that was reported later.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import NamedTuple

from guardedit.core.fact import Fact, FactKey
from guardedit.core.serving import Recall, ScopedFact
from guardedit.memory.questions.clauses import Clause
from guardedit.memory.scope import ACCEPT, OUT, ScopeVerdict
from guardedit.naming import key_name

_RANKS = {OUT: 0, ACCEPT: 2}  # unsure is between them


class JudgedFact(NamedTuple):
    """A fact, and the verdict of the scope test about a clause and this fact alone."""

    fact: Fact
    verdict: ScopeVerdict


def recall_of(clause: Clause, judged: Sequence[JudgedFact]) -> Recall:
    """The recall of one clause."""
    if not judged:
        return Recall(scope=OUT, score=0.0, reason="no subject of a live fact is named")
    scores = sorted((one.verdict.score for one in judged), reverse=True)
    best = max(judged, key=lambda one: (_RANKS.get(one.verdict.scope, 1), one.verdict.score)).verdict
    found = [
        ScopedFact(
            fact=fact,
            scope=verdict.scope,
            score=verdict.score,
            reason=verdict.reason,
            clause=clause.text,
            at=clause.at,
        )
        for fact, verdict in judged
        if verdict.scope != OUT
    ]
    recall = Recall(
        scope=best.scope,
        score=best.score,
        margin=scores[0] - scores[1] if len(scores) > 1 else math.nan,
        reason=best.reason,
    )
    return _with(recall, chosen(found))


def merged(recalls: Sequence[Recall]) -> Recall:
    """One recall of a question from those of its clauses, or of several shards."""
    if len(recalls) == 1:
        return recalls[0]
    return _with(max(recalls, key=_rank), chosen([one for recall in recalls for one in recall.found]))


def _with(recall: Recall, found: tuple[ScopedFact, ...]) -> Recall:
    """The recall with these facts; its scope and score are those of the best of them."""
    if not found:
        return replace(recall, found=())
    best = min(found, key=_order)
    return replace(recall, found=found, scope=best.scope, score=best.score, reason=best.reason)


def placed(recall: Recall, clause: Clause) -> Recall:
    """The recall of a text as that of a clause of a question."""
    found = tuple(replace(one, clause=clause.text, at=clause.at) for one in recall.found)
    return replace(recall, found=found)


def chosen(found: Sequence[ScopedFact]) -> tuple[ScopedFact, ...]:
    """The fact of each clause, in the order of the clauses.

    A fact for which several clauses ask is given once, with the clause that fits best.
    """
    current = sorted(_without_older(found), key=lambda one: one.at)
    best = [one for _, some in groupby(current, key=lambda one: one.at) for one in _best(list(some))]
    by_id: dict[str, ScopedFact] = {}
    for one in best:
        by_id[one.fact.id] = min(by_id.get(one.fact.id, one), one, key=_order)
    return tuple(one for one in best if by_id[one.fact.id] is one)


def _best(found: Sequence[ScopedFact]) -> list[ScopedFact]:
    """The best fact of a clause; of a many-valued relation, all that are in scope, the best first."""
    first, *others = sorted(found, key=_order)
    relation = _about(first.fact)._replace(target="")
    many = others if first.fact.key.target else []
    return [first, *(one for one in many if _about(one.fact)._replace(target="") == relation)]


def _order(one: ScopedFact) -> tuple[bool, float]:
    return one.scope != ACCEPT, -one.score


def _without_older(found: Sequence[ScopedFact]) -> list[ScopedFact]:
    """Without facts for whose key, apart from the tenant, a newer one is there."""
    newest: dict[FactKey, Fact] = {}
    for one in found:
        fact, about = one.fact, _about(one.fact)
        if about not in newest or _precedence(fact) > _precedence(newest[about]):
            newest[about] = fact
    return [one for one in found if newest[_about(one.fact)].id == one.fact.id]


def _about(fact: Fact) -> FactKey:
    return key_name(fact.key)._replace(tenant="")


def _precedence(fact: Fact) -> tuple[bool, int, float]:
    """The greater one counts: the tenant's own, of a higher version, reported later."""
    reported_at_s = -math.inf if fact.reported_at_s is None else fact.reported_at_s
    return fact.key.tenant != "default", fact.version, reported_at_s


def _rank(recall: Recall) -> tuple[int, float]:
    return _RANKS.get(recall.scope, 1), -1.0 if math.isnan(recall.score) else recall.score
