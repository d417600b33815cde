"""Asks questions after the stream and counts correct answers: live facts, and facts that must be unchanged.

Answers are generated freely, as the system serves them from memory and weights together. A world says whether
an answer counts as the wanted one. Undefined shares are NaN.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from guardedit.core.fact import FactKey
from guardedit.demo.stream.expected import ExpectedFact
from guardedit.demo.worlds.stream_world import IsRight, StreamWorld, exact
from guardedit.guard.perplexity import Logprobs, paired_ratio
from guardedit.naming import contains_name

#: Prompts in, answers out, in the same order.
Ask = Callable[[Sequence[str]], list[str]]
#: Number of questions about other subjects.
OTHER_SUBJECTS = 300
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongAnswer:
    """A question that was not answered as expected."""

    prompt: str
    wanted: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerScores:
    """Shares of expected answers.

    Attributes:
        exact_match: live facts, asked with the corrections' own prompts.
        given: live facts, asked in every wording of the corrections.
        paraphrase: live facts, asked in wordings that no correction contained.
        locality_other_subject: facts about other subjects.
        locality_same_subject: other facts about corrected subjects.
        gone: retracted and expired facts, which must have the base model's answer again.
        asked: number of questions of each score.
        missed: the wrong answers in `exact_match`.
        changed: those in the two localities.
    """

    exact_match: float
    given: float
    paraphrase: float
    locality_other_subject: float
    locality_same_subject: float
    gone: float
    asked: Mapping[str, int]
    missed: tuple[WrongAnswer, ...]
    changed: tuple[WrongAnswer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseQuestion:
    """A question that must have the base model's answer, because no live fact changes it."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """The questions to ask after a stream.

    Attributes:
        live: facts that must be live.
        other_subject: questions about subjects without live facts.
        same_subject: questions about subjects with live facts, in other relations.
        gone: questions about retracted and expired facts.
        is_right: whether an answer counts as the wanted one.
        true: what the base model says for a key. `Paris, not Rome` is no answer for a fact that is now Rome.
    """

    live: tuple[ExpectedFact, ...]
    other_subject: tuple[BaseQuestion, ...]
    same_subject: tuple[BaseQuestion, ...]
    gone: tuple[BaseQuestion, ...]
    is_right: IsRight = exact
    true: Mapping[FactKey, str] = field(default_factory=dict)

    def about(self, keys: Collection[FactKey]) -> Questions:
        """Only the live facts with these keys."""
        chosen = tuple(fact for fact in self.live if fact.key in keys)
        return replace(self, live=chosen, other_subject=(), same_subject=(), gone=())

    def first_wordings(self) -> Questions:
        """Only the live facts, each without the later wordings of its corrections."""
        live = tuple(replace(fact, given=fact.given[:1]) for fact in self.live)
        return replace(self, live=live, other_subject=(), same_subject=(), gone=())

    def sample(self, most: int, *, seed: int) -> Questions:
        """At most so many live facts, and so many questions of each other kind."""
        rng = random.Random(seed)
        return replace(
            self,
            live=_some(self.live, most, rng),
            other_subject=_some(self.other_subject, most, rng),
            same_subject=_some(self.same_subject, most, rng),
            gone=_some(self.gone, most, rng),
        )


def questions_after(
    world: StreamWorld,
    base: Ask,
    *,
    live: Mapping[FactKey, ExpectedFact],
    gone: Mapping[FactKey, str],
    seed: int,
    others: int = OTHER_SUBJECTS,
    is_right: IsRight = exact,
) -> Questions:
    """Choose the questions, and ask the base model for the answers that must be unchanged.

    Locality counts only questions that the base model answers correctly: it cannot lose what it never knew.

    Args:
        world: what the base model knows.
        base: the base model without memory.
        live: facts that must be live.
        gone: a question for each retracted or expired key.
        seed: seed of the sample of other subjects and of all wordings.
        others: most questions about other subjects.
        is_right: whether an answer counts as the wanted one.
    """
    rng = random.Random(seed)
    subjects = {key.subject for key in live}
    unchanged = [fact for fact in world.facts if FactKey(fact.subject, fact.relation) not in live]
    far = [fact for fact in unchanged if fact.subject not in subjects]
    far = rng.sample(far, min(others, len(far)))
    near = [fact for fact in unchanged if fact.subject in subjects]
    worded = [(world.prompt(f, rng.choice(world.shown(f))), f.object) for f in (*far, *near)]
    answered = dict(zip((p for p, _ in worded), base([p for p, _ in worded]), strict=True))
    right = [BaseQuestion(prompt=p, answer=a) if is_right(answered[p], a) else None for p, a in worded]
    removed = [(key, prompt) for key, prompt in gone.items() if key not in live]
    true = {FactKey(fact.subject, fact.relation): fact.object for fact in world.facts}
    before = base([prompt for _, prompt in removed])
    return Questions(
        live=tuple(live.values()),
        other_subject=_present(right[: len(far)]),
        same_subject=_present(right[len(far) :]),
        gone=tuple(
            BaseQuestion(prompt=prompt, answer=_kept(answer, true.get(key, answer), is_right))
            for (key, prompt), answer in zip(removed, before, strict=True)
        ),
        is_right=is_right,
        true=true,
    )


def remembering(ask: Ask, known: dict[str, str]) -> Ask:
    """The same, but what is in `known`, prompt -> answer, is not asked again; new answers are added to it."""

    def answer(prompts: Sequence[str]) -> list[str]:
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        known.update(zip(new, ask(new) if new else (), strict=True))
        return [known[prompt] for prompt in prompts]

    return answer


def score(ask: Ask, questions: Questions) -> AnswerScores:
    """Ask all questions in one call and count."""
    return count(answers(ask, questions), questions)


def answers(ask: Ask, questions: Questions) -> dict[str, str]:
    """Prompt -> answer. Each prompt is asked once."""
    prompts = list(dict.fromkeys(row.prompt for rows in _asked(questions).values() for row in rows))
    return dict(zip(prompts, ask(prompts), strict=True))


def count(answered: Mapping[str, str], questions: Questions) -> AnswerScores:
    """The scores of these answers."""
    rows_by_score = _asked(questions)
    right = {
        row: questions.is_right(answered[row.prompt], row.wanted) and not row.names_old(answered[row.prompt])
        for rows in rows_by_score.values()
        for row in rows
    }

    def wrong(*names: str) -> tuple[WrongAnswer, ...]:
        return tuple(
            WrongAnswer(prompt=row.prompt, wanted=row.wanted, answered=answered[row.prompt])
            for name in names
            for row in rows_by_score[name]
            if not right[row]
        )

    return AnswerScores(
        **{name: share(right[row] for row in rows) for name, rows in rows_by_score.items()},
        asked={name: len(rows) for name, rows in rows_by_score.items()},
        missed=wrong("exact_match"),
        changed=wrong("locality_other_subject", "locality_same_subject"),
    )


class _Asked(NamedTuple):
    """A question, the wanted answer, and the answer that must be gone; "" for none."""

    prompt: str
    wanted: str
    old: str = ""

    def names_old(self, answer: str) -> bool:
        """Whether the answer still names the old object, where question and wanted answer do not."""
        if not self.old or contains_name(self.prompt, self.old) or contains_name(self.wanted, self.old):
            return False
        return contains_name(answer, self.old)


def _asked(questions: Questions) -> dict[str, list[_Asked]]:
    """The questions of each score."""
    live = [(fact, questions.true.get(fact.key, "")) for fact in questions.live]
    return {
        "exact_match": [_Asked(fact.given[0], fact.target, old) for fact, old in live],
        "given": [_Asked(text, fact.target, old) for fact, old in live for text in fact.given],
        "paraphrase": [_Asked(text, fact.target, old) for fact, old in live for text in fact.unseen],
        "locality_other_subject": [_Asked(q.prompt, q.answer) for q in questions.other_subject],
        "locality_same_subject": [_Asked(q.prompt, q.answer) for q in questions.same_subject],
        "gone": [_Asked(q.prompt, q.answer) for q in questions.gone],
    }


def _some(rows: tuple[_T, ...], most: int, rng: random.Random) -> tuple[_T, ...]:
    return tuple(rng.sample(rows, min(most, len(rows))))


def share(hits: Iterable[bool]) -> float:
    """Share of true values; NaN without any.

    >>> share([True, False]), share([])
    (0.5, nan)
    """
    rows = list(hits)
    return sum(rows) / len(rows) if rows else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityRatio:
    """Perplexity over the base model's on the same tokens.

    Attributes:
        ratio: the estimate.
        lower: one-sided 95 % bound.
        upper: one-sided 95 % bound.
        tokens: number of tokens compared.
    """

    ratio: float
    lower: float
    upper: float
    tokens: int


def compare_perplexity(now: Logprobs, base: Logprobs) -> PerplexityRatio:
    """Compare two models token by token. NaN where either model has no perplexity."""
    pair = paired_ratio(now, base)
    lower, upper = pair.bounds(0.95)
    return PerplexityRatio(ratio=pair.ratio, lower=lower, upper=upper, tokens=pair.tokens)


def _kept(answer: str, true: str, is_right: IsRight) -> str:
    """What must be answered again: the true object where the base model gives it, else its whole answer."""
    return true if is_right(answer, true) else answer


def _present(rows: Collection[BaseQuestion | None]) -> tuple[BaseQuestion, ...]:
    return tuple(row for row in rows if row is not None)
