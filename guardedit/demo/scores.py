"""The questions after everything: are the live facts answered, and is all else as it was.

Free generation of whole answers, as they are served, memory and weights together. Knows how to ask and how
to count; how the facts came to be live is not its concern. Undefined is NaN.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from guardedit.core.fact import FactKey
from guardedit.demo.expected import ExpectedFact
from guardedit.guard.perplexity import Logprobs, paired_ratio
from guardedit.zoo.world import World

#: Questions in, answers out.
Ask = Callable[[Sequence[str]], list[str]]
#: Questions about other subjects.
OTHER_SUBJECTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A question that was answered otherwise than it should be."""

    prompt: str
    wanted: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Shares of answers that are as they should be, and how many were asked."""

    exact_match: float  # the corrections' own questions
    given: float  # every wording the corrections brought
    paraphrase: float  # wordings that nobody was told
    locality_other_subject: float
    locality_same_subject: float
    gone: float  # retracted and expired facts: the base model's answer is back
    asked: Mapping[str, int]
    missed: tuple[Missed, ...]  # of the corrections' own questions


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A question about something no live fact says, with the base model's right answer."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is asked once a stream is through."""

    live: tuple[ExpectedFact, ...]
    other_subject: tuple[Known, ...]
    same_subject: tuple[Known, ...]
    gone: tuple[Known, ...]

    def about(self, keys: Collection[FactKey]) -> Questions:
        """Only the live facts of these keys, and nothing else."""
        chosen = tuple(fact for fact in self.live if fact.key in keys)
        return Questions(live=chosen, other_subject=(), same_subject=(), gone=())


def questions_after(
    world: World,
    base: Ask,
    *,
    live: Mapping[FactKey, ExpectedFact],
    gone: Mapping[FactKey, str],
    seed: int,
) -> Questions:
    """Which questions to ask, with the base model's answers where they must come back.

    Localities count only what the base model answers rightly: what was never known cannot be lost.

    Args:
        world: what the base model knows.
        base: the base model, without memory.
        live: facts that must be live.
        gone: a question for each key that was live once.
        seed: of the sample of other subjects and of all wordings.
    """
    rng = random.Random(seed)
    subjects = {key.subject for key in live}
    untold = [fact for fact in world.facts if FactKey(fact.subject, fact.relation) not in live]
    others = [fact for fact in untold if fact.subject not in subjects]
    others = rng.sample(others, min(OTHER_SUBJECTS, len(others)))
    near = [fact for fact in untold if fact.subject in subjects]
    worded = [(world.prompt(f, rng.choice(world.shown(f))), f.object) for f in (*others, *near)]
    said = dict(zip((p for p, _ in worded), base([p for p, _ in worded]), strict=True))
    right = [Known(prompt=p, answer=a) if said[p] == a else None for p, a in worded]
    returned = [prompt for key, prompt in gone.items() if key not in live]
    return Questions(
        live=tuple(live.values()),
        other_subject=_present(right[: len(others)]),
        same_subject=_present(right[len(others) :]),
        gone=tuple(Known(prompt=p, answer=a) for p, a in zip(returned, base(returned), strict=True)),
    )


def score(ask: Ask, questions: Questions) -> Scores:
    """Ask everything in one go and count."""
    return count(answers(ask, questions), questions)


def answers(ask: Ask, questions: Questions) -> dict[str, str]:
    """Prompt -> answer, each prompt asked once."""
    prompts = list(dict.fromkeys(p for pairs in _pairs(questions).values() for p, _ in pairs))
    return dict(zip(prompts, ask(prompts), strict=True))


def count(answered: Mapping[str, str], questions: Questions) -> Scores:
    """How many answers are as they should be."""
    rows = _pairs(questions)
    shares = {name: share(answered[p] == wanted for p, wanted in pairs) for name, pairs in rows.items()}
    missed = [(p, wanted, answered[p]) for p, wanted in rows["exact_match"] if answered[p] != wanted]
    return Scores(
        **shares,
        asked={name: len(pairs) for name, pairs in rows.items()},
        missed=tuple(Missed(prompt=p, wanted=wanted, answered=said) for p, wanted, said in missed),
    )


def _pairs(questions: Questions) -> dict[str, list[tuple[str, str]]]:
    """Of each score the prompts and the right answers."""
    return {
        "exact_match": [(fact.given[0], fact.target) for fact in questions.live],
        "given": [(text, fact.target) for fact in questions.live for text in fact.given],
        "paraphrase": [(text, fact.target) for fact in questions.live for text in fact.kept],
        "locality_other_subject": [(k.prompt, k.answer) for k in questions.other_subject],
        "locality_same_subject": [(k.prompt, k.answer) for k in questions.same_subject],
        "gone": [(k.prompt, k.answer) for k in questions.gone],
    }


def share(hits: Iterable[bool]) -> float:
    """Share of true; NaN of nothing.

    >>> share([True, False]), share([])
    (0.5, nan)
    """
    rows = list(hits)
    return sum(rows) / len(rows) if rows else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Fluency:
    """Perplexity over the base model's on the same tokens, between `lower` and `upper` at 95 % each."""

    ratio: float
    lower: float
    upper: float
    tokens: int
    texts: int


def fluency(now: Logprobs, base: Logprobs) -> Fluency:
    """Compare by pairs of tokens. NaN where either model has no perplexity."""
    pair = paired_ratio(now, base)
    lower, upper = pair.bounds(0.95)
    return Fluency(ratio=pair.ratio, lower=lower, upper=upper, tokens=pair.tokens, texts=pair.texts)


def _present(rows: Collection[Known | None]) -> tuple[Known, ...]:
    return tuple(row for row in rows if row is not None)
