"""Questions that two facts answer together: the target of the first is the subject of the second.

"What is the capital of the country where Ada was born?" is answered in three steps. Decompose: a phrase of
the question that names a subject is a question by itself, "the country where Ada was born". Look up: its
answer is Norway. Recompose: with the answer in place of the phrase the question is "What is the capital of
Norway?", and it is looked up in turn. No grammar is used: every phrase around a subject is tried, and the
pair of facts that answers phrase and remainder best is taken.

The procedure is general over relations, and it has no numbers to tune but the limits below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from guardedit.core.fact import Fact
from guardedit.naming import find_mentions, identity, name_of, tokens

#: For each question, facts with how well it fits them, in [0, 1].
Scored = Callable[[Sequence[str]], Sequence[Sequence[tuple[Fact, float]]]]
#: For each text, the subjects of facts that it names, as they are spelled there.
Named = Callable[[Sequence[str]], Sequence[Sequence[str]]]

#: Most words of a phrase before and after its subject. Larger: longer phrases are found, and more is encoded.
MOST_BEFORE, MOST_AFTER = 12, 8
#: Most phrases for each first fact that are recomposed, the best ones.
MOST_PHRASES = 12


class Hop(NamedTuple):
    """A question, the fact that answers it, and how well it fits."""

    question: str
    fact: Fact
    score: float


class Chain(NamedTuple):
    """Two hops; the second question is the whole one with the first answer in place of its phrase."""

    first: Hop
    second: Hop

    @property
    def score(self) -> float:
        """How well the two questions fit their facts together, in [0, 1]."""
        return self.first.score * self.second.score

    @property
    def answer(self) -> str:
        """The answer of the whole question."""
        return self.second.fact.target


def find_chain(question: str, scored: Scored, named: Named) -> Chain | None:
    """The two facts that answer the question together best; None where no fact leads on to another.

    Args:
        question: one question; any subject of a fact in it may begin a chain.
        scored: looks questions up in the memory, such as `RetrievalMemory.scored`.
        named: finds subjects in texts, such as `RetrievalMemory.subjects`.
    """
    first = [
        (start, end, Hop(question[start:end], fact, score))
        for start, end, fact, score in _first_hops(question, scored, named)
    ]
    leads = _lead_on([hop.fact for _, _, hop in first], named)
    first = [one for one in first if one[-1].fact.id in leads]
    remainders = [f"{question[:start]}{hop.fact.target}{question[end:]}" for start, end, hop in first]
    chains = [
        Chain(hop, Hop(remainder, fact, score))
        for (_, _, hop), remainder, found in zip(first, remainders, scored(remainders), strict=True)
        for fact, score in found
        if identity(fact.key.subject) == identity(hop.fact.target) and fact.id != hop.fact.id
    ]
    # Of equals the longer phrase: it leaves fewer words unexplained.
    return max(chains, key=lambda one: (one.score, len(one.first.question)), default=None)


def _first_hops(question: str, scored: Scored, named: Named) -> list[tuple[int, int, Fact, float]]:
    """(start, end, fact, score) of the best phrases for each fact about a subject in the question."""
    spans = [(span, subject) for subject in named([question])[0] for span in _phrases(question, subject)]
    texts = [question[start:end] for (start, end), _ in spans]
    by_fact: dict[str, list[tuple[int, int, Fact, float]]] = {}
    for ((start, end), subject), found in zip(spans, scored(texts), strict=True):
        for fact, score in found:
            if identity(fact.key.subject) == identity(subject):
                by_fact.setdefault(fact.id, []).append((start, end, fact, score))
    return [
        one
        for rows in by_fact.values()
        for one in sorted(rows, key=lambda row: row[-1], reverse=True)[:MOST_PHRASES]
    ]


def _lead_on(facts: Sequence[Fact], named: Named) -> set[str]:
    """Ids of the facts whose target is the subject of another fact."""
    targets = list(dict.fromkeys(fact.target for fact in facts))
    names = dict(zip(targets, named(targets), strict=True))
    return {
        fact.id
        for fact in facts
        if any(identity(name) == identity(fact.target) for name in names[fact.target])
    }


def _phrases(question: str, subject: str) -> Iterator[tuple[int, int]]:
    """The spans of whole words around each mention of the subject, without the mention and the question."""
    row = [token for token in tokens(question) if token.text[0].isalnum()]
    name = name_of(subject)
    for mention in find_mentions(question, {name}, longest=len(name)):
        before = [token.start for token in row if token.start < mention.start][-MOST_BEFORE:]
        after = [token.end for token in row if token.start >= mention.end][:MOST_AFTER]
        for start in (*before, mention.start):
            for end in (mention.end, *after):
                rest = f"{question[:start]}{question[end:]}"
                if (start, end) != (mention.start, mention.end) and any(map(str.isalnum, rest)):
                    yield start, end
