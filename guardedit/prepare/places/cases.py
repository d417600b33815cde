"""Facts to try edits with: facts that the model knows, changed to another object of the same relation.

Everything is asked as raw text, since edits are made there; `prepare.probes` asks in the served form.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from guardedit.core.fact import Fact, FactKey
from guardedit.models.host import ModelHost
from guardedit.models.text.spans import Expected, score_spans
from guardedit.prepare.facts import PublicFact, cloze, load_relations

#: Wordings that an edit is not given, and neighbours, for each fact.
UNSEEN, NEIGHBOURS = 2, 4
#: Candidates that are asked for each known fact that is wanted, since a small model knows a part of them.
ASKED_FOR_EACH = 8
#: A model that ends this share of its answers right after the object is taken to end all of them.
ENDS = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class TryCase:
    """One fact that an edit changes, with what must and what must not change.

    Attributes:
        fact: the edit's fact; its only wording is the own prompt.
        true: the object that the model says now.
        unseen: other wordings.
        neighbours: answers about other subjects that share relation or object; the model says them.
        same_subject: answers about the subject in other relations; the model says them.
    """

    fact: Fact
    true: str
    unseen: tuple[str, ...]
    neighbours: tuple[Expected, ...]
    same_subject: tuple[Expected, ...]


def known_facts(host: ModelHost, facts: Sequence[PublicFact], *, most: int, seed: int) -> list[PublicFact]:
    """Facts whose object the model says after the first cloze, in an order drawn by the seed.

    Asks in parts and stops when `most` are found.
    """
    order = random.Random(seed).sample(list(facts), len(facts))
    found: list[PublicFact] = []
    step = max(64, 2 * most)
    for at in range(0, min(len(order), ASKED_FOR_EACH * most), step):
        part = order[at : at + step]
        spans = score_spans(host, [Expected(cloze(fact), fact.object) for fact in part])
        found += [fact for fact, span in zip(part, spans, strict=True) if span.said]
        if len(found) >= most:
            break
    return found[:most]


def ends_answers(host: ModelHost, known: Sequence[PublicFact]) -> bool:
    """Whether the model ends most of its answers right after the object, as `ENDS` says.

    Then an edit should end its answer too. A model that goes on would be changed more by that than by the
    fact.
    """
    spans = score_spans(host, [Expected(cloze(fact), f"{fact.object}.") for fact in known])
    return sum(span.said for span in spans) >= ENDS * len(known)


def make_cases(known: Sequence[PublicFact], *, count: int, seed: int) -> list[TryCase]:
    """At most `count` cases on different subjects, of different relations in turn.

    Args:
        known: facts that the model knows; those that are not edited are the neighbours.
        count: how many.
        seed: draws targets and neighbours.
    """
    rng = random.Random(seed)
    relations = load_relations()
    objects: dict[str, list[str]] = {}
    for fact in known:
        objects.setdefault(fact.relation, []).append(fact.object)
    cases: list[TryCase] = []
    edited: set[str] = set()
    for fact in _in_turn(known):
        targets = sorted({name for name in objects[fact.relation] if name not in fact.names})
        unique = fact.relation not in relations or relations[fact.relation].unique
        if len(cases) == count or fact.subject in edited or not targets or not unique:
            continue
        edited.add(fact.subject)
        cases.append(_case(fact, rng.choice(targets), known, rng))
    # A question about a subject that is edited as well says nothing about locality.
    return [_without(case, edited) for case in cases]


def _case(fact: PublicFact, target: str, known: Sequence[PublicFact], rng: random.Random) -> TryCase:
    own = cloze(fact)
    near = [other for other in known if other.subject != fact.subject and other.relation == fact.relation]
    same = [other for other in known if other.subject == fact.subject and other.relation != fact.relation]
    wordings = dict.fromkeys(cloze(fact, n) for n in range(1, UNSEEN + 1))
    return TryCase(
        fact=Fact(
            key=FactKey(fact.subject, fact.relation),
            version=1,
            correction_id=f"prepare {fact.subject} {fact.relation}",
            wordings=(own,),
            target=target,
        ),
        true=fact.object,
        unseen=tuple(text for text in wordings if text != own),
        neighbours=tuple(map(_expected, rng.sample(near, min(NEIGHBOURS, len(near))))),
        same_subject=tuple(map(_expected, same)),
    )


def _expected(fact: PublicFact) -> Expected:
    return Expected(cloze(fact), fact.object)


def _without(case: TryCase, edited: set[str]) -> TryCase:
    kept = tuple(one for one in case.neighbours if not any(name in one.prompt for name in edited))
    return TryCase(
        fact=case.fact,
        true=case.true,
        unseen=case.unseen,
        neighbours=kept,
        same_subject=case.same_subject,
    )


def _in_turn(facts: Sequence[PublicFact]) -> list[PublicFact]:
    """One fact of each relation in turn, in the order of the facts."""
    grouped: dict[str, list[PublicFact]] = {}
    for fact in facts:
        grouped.setdefault(fact.relation, []).append(fact)
    longest = max(map(len, grouped.values()), default=0)
    return [rows[n] for n in range(longest) for rows in grouped.values() if n < len(rows)]
