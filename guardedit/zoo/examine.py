"""Examine the demo model: does it know its facts, obey corrections, take edits and speak?

Each function returns plain numbers. Every answer is generated freely, and the whole object must be right.
Locality counts only questions that the model answered correctly before the edit: it cannot lose what it never
knew.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Question, QuestionKind
from guardedit.core.protocols import MethodEditor, SubjectGroup
from guardedit.memory.context import with_fact
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.zoo.world import GIVEN_WORDINGS, KnownFact, World

#: Prompts in, answers out, in the same order.
Ask = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Case:
    """One counterfactual edit of a known fact, and all questions to ask after it."""

    fact: Fact
    unseen: tuple[str, ...]  # wordings that the editor is not given
    same_subject: tuple[tuple[str, str], ...]  # (prompt, answer) that must stay
    other_subject: tuple[tuple[str, str], ...]
    keep: tuple[Question, ...]  # answers that the editor must preserve


def share(hits: Iterable[bool]) -> float:
    """Share of true values; NaN without any."""
    rows = list(hits)
    return sum(rows) / len(rows) if rows else math.nan


def accuracy(ask: Ask, pairs: Sequence[tuple[str, str]]) -> float:
    """Share of (prompt, answer) pairs that are answered exactly; NaN without any."""
    answers = ask([prompt for prompt, _ in pairs])
    return share(answer == wanted for answer, (_, wanted) in zip(answers, pairs, strict=True))


def knows(world: World, ask: Ask, *, seed: int) -> dict[str, float]:
    """Recall of every fact, in a wording shown in training and in one that never was."""
    rng = random.Random(seed)
    shown = [(world.prompt(f, rng.choice(world.shown(f))), f.object) for f in world.facts]
    hidden = [(world.prompt(f, rng.choice(sorted(world.hidden(f)))), f.object) for f in world.facts]
    several = sum(len(facts) > 1 for facts in world.by_subject.values())
    return {
        "facts": float(len(world.facts)),
        "relations": float(len(world.by_relation)),
        "subjects_with_several": float(several),
        "recall_shown": accuracy(ask, shown),
        "recall_hidden": accuracy(ask, hidden),
    }


def obeys(world: World, ask: Ask, *, seed: int, count: int = 500) -> dict[str, float]:
    """Answers after a correction in the context: the corrected fact in another wording, and other facts."""
    rng = random.Random(seed)
    asked: list[tuple[str, str]] = []
    same: list[tuple[str, str, str]] = []
    other: list[tuple[str, str, str]] = []
    for known in rng.sample(world.facts, count):
        fact = counterfactual(world, known, rng)
        # One statement, so that the question differs from it.
        fact = replace(fact, wordings=fact.wordings[:1])
        wordings = [world.prompt(known, i) for i in range(len(world.wordings[known.relation]))]
        asked.append((with_fact(fact, rng.choice([w for w in wordings if w != fact.prompt])), fact.target))
        for row, pool in (
            (same, [f for f in world.by_subject[known.subject] if f.relation != known.relation]),
            (other, [f for f in world.by_relation[known.relation] if f.subject != known.subject]),
            (other, [f for f in world.facts if f.subject != known.subject]),
        ):
            if pool:
                chosen = rng.choice(pool)
                prompt = world.prompt(chosen, rng.choice(world.shown(chosen)))
                row.append((with_fact(fact, prompt), prompt, chosen.object))
    return {
        "obeys": accuracy(ask, asked),
        "same_subject_left_alone": _left_alone(ask, same),
        "other_subject_left_alone": _left_alone(ask, other),
        "others_left_alone": _left_alone(ask, [*same, *other]),
    }


def _left_alone(ask: Ask, rows: Sequence[tuple[str, str, str]]) -> float:
    """Share of unchanged answers among rows of (prompt in context, bare prompt, right answer)."""
    bare = ask([prompt for _, prompt, _ in rows])
    return accuracy(ask, [(w, a) for (w, _, a), answer in zip(rows, bare, strict=True) if answer == a])


def counterfactual(world: World, known: KnownFact, rng: random.Random) -> Fact:
    """A known fact with another object of its relation, in `GIVEN_WORDINGS` wordings."""
    target = rng.choice([o for o in world.objects[known.relation] if o != known.object])
    chosen = rng.sample(range(len(world.wordings[known.relation])), GIVEN_WORDINGS)
    return Fact(
        key=FactKey(known.subject, known.relation),
        version=1,
        correction_id=f"{known.subject}/{known.relation}",
        wordings=tuple(world.prompt(known, i) for i in chosen),
        target=target,
        method="ridge",
    )


def make_cases(world: World, ask: Ask, *, count: int, seed: int) -> list[Case]:
    """Edits of facts that the model knows. All subjects differ, and most have other known facts."""
    rng = random.Random(seed)
    right = known_facts(world, ask)
    subjects = sorted({f.subject for f in right})
    rng.shuffle(subjects)
    cases = []
    for subject in subjects[:count]:
        mine = [f for f in right if f.subject == subject]
        known = rng.choice(mine)
        fact = counterfactual(world, known, rng)
        wordings = [world.prompt(known, i) for i in range(len(world.wordings[known.relation]))]
        near = [f for f in right if f.relation == known.relation and f.subject != subject]
        far = [f for f in right if f.subject != subject]
        others = rng.sample(near, min(5, len(near))) + rng.sample(far, 5)
        cases.append(
            Case(
                fact=fact,
                unseen=tuple(w for w in wordings if w not in fact.wordings),
                same_subject=tuple((_shown(world, f, rng), f.object) for f in mine if f != known),
                other_subject=tuple((_shown(world, f, rng), f.object) for f in others),
                keep=tuple(
                    Question(
                        prompt=world.prompt(f, world.shown(f)[0]),
                        kind=QuestionKind.SAME_SUBJECT,
                        expected=f.object,
                        subject=subject,
                        relation=f.relation,
                    )
                    for f in mine
                    if f != known
                ),
            )
        )
    return cases


def known_facts(world: World, ask: Ask) -> list[KnownFact]:
    """Facts that the model answers correctly in the first two wordings shown in training."""
    rows = [(f, world.prompt(f, i)) for f in world.facts for i in world.shown(f)[:2]]
    answers = ask([prompt for _, prompt in rows])
    wrong = {f for (f, _), answer in zip(rows, answers, strict=True) if answer != f.object}
    return [f for f in world.facts if f not in wrong]


def _shown(world: World, fact: KnownFact, rng: random.Random) -> str:
    return world.prompt(fact, rng.choice(world.shown(fact)))


def takes_edits(
    host: ModelHost,
    fold: Fold,
    editor: MethodEditor,
    cases: Sequence[Case],
    texts: Sequence[str],
) -> dict[str, float]:
    """Apply each edit alone and ask the questions of its case. Refused edits count as failed."""
    groups = [SubjectGroup(subject=c.fact.key.subject, facts=(c.fact,), keep=c.keep) for c in cases]
    proposal = editor.propose(groups, ())
    edited = {edit.subject for edit in proposal.edits}
    before = host.token_logprobs(texts)
    rows: dict[str, list[bool]] = {"efficacy": [], "unseen": [], "same_subject": [], "other_subject": []}
    ratios: list[float] = []
    for edit in proposal.edits:
        with host.patched(fold.fold([edit])):
            _ask_cases(host, [c for c in cases if c.fact.key.subject == edit.subject], rows)
            ratios.append(perplexity_ratio(host.token_logprobs(texts), before))
    for case in cases:
        if case.fact.key.subject not in edited:
            rows["efficacy"].append(False)
            rows["unseen"] += [False] * len(case.unseen)
    return {
        **{name: share(hits) for name, hits in rows.items()},
        "perplexity_ratio": math.fsum(ratios) / len(ratios) if ratios else math.nan,
        "worst_perplexity_ratio": max(ratios, default=math.nan),
        "refused": float(len(cases) - len(edited)),
        "seconds_per_edit": proposal.seconds / len(cases) if cases else math.nan,
    }


def _ask_cases(host: ModelHost, cases: Sequence[Case], rows: dict[str, list[bool]]) -> None:
    pairs = [
        (name, prompt, answer)
        for case in cases
        for name, wanted in (
            ("efficacy", ((case.fact.prompt, case.fact.target),)),
            ("unseen", tuple((w, case.fact.target) for w in case.unseen)),
            ("same_subject", case.same_subject),
            ("other_subject", case.other_subject),
        )
        for prompt, answer in wanted
    ]
    answers = host.complete([prompt for _, prompt, _ in pairs])
    for (name, _, wanted), answer in zip(pairs, answers, strict=True):
        rows[name].append(answer == wanted)


def perplexity_ratio(after: Sequence[Sequence[float]], before: Sequence[Sequence[float]]) -> float:
    """Exp of the mean paired difference of log-probabilities; NaN without tokens."""
    pairs = [b - a for x, y in zip(after, before, strict=True) for a, b in zip(x, y, strict=True)]
    return math.exp(math.fsum(pairs) / len(pairs)) if pairs else math.nan


def perplexity(logprobs: Sequence[Sequence[float]]) -> float:
    """Exp of nats per predicted token (N-1 in a text of N tokens); NaN without tokens."""
    nats = [-value for row in logprobs for value in row]
    return math.exp(math.fsum(nats) / len(nats)) if nats else math.nan
