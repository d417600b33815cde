r"""Splits a question into its clauses: the parts that ask for one fact each. Text only.

1. A text is split into sentences. A sentence that names no subject and refers to none belongs to the one
   before it, so that "About Velmora. What is the capital?" stays whole.
2. A sentence is split before a conjunction that a question word follows, "and who"; a part that names
   nothing, as "and when", belongs to the one before it.
3. A clause that names its subject by a pronoun only is asked with the last subject before it.
4. A clause with a list, "the capital and the currency", is asked as it is and once for each item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from guardedit.naming import sentences

#: Most characters of a question that is split, and most clauses.
_LONGEST, _MOST = 2000, 16
#: Fewest words before "and who": in "where and when" nothing is asked yet.
_FEWEST_WORDS = 3
#: Words that begin a question, in the languages that the encoder reads best.
_ASKS = (
    "who|whose|whom|what|which|when|where|why|how|wer|wem|wen|wessen|was|welche[rsnm]?|wann|wo|woher|wie"
    "|qui|quoi|quel(?:le)?s?|quand|où|comment|quién(?:es)?|qué|cuáles|cuál|cuándo|dónde|cómo"
)
_JOINS = r"and|or|but|plus|also|und|oder|et|ou|y|o"
_BOUNDARY = re.compile(
    rf"(?:\s*;\s*|,?\s+(?:{_JOINS})\s+(?:also\s+|auch\s+|aussi\s+)?)(?=(?:{_ASKS})\b)", re.IGNORECASE
)
#: Subjects in a clause are replaced by these characters of the private use area, one each.
_PRIVATE = 0xE000
_ITEM = (
    r"(?:(?:the|an?|its|his|her|their|der|die|das|le|la|les|el|los|las)\s+)?"
    r"(?!(?:is|are|was|were|has|have|had|does|did|will|can)\b)[\w\ue000-\uf8ff][\w\ue000-\uf8ff'\u2019-]*"
)
_LIST = re.compile(
    rf"({_ITEM})((?:\s*,\s*{_ITEM})*)\s*,?\s+(?:{_JOINS}|&|as\s+well\s+as)\s+({_ITEM})", re.IGNORECASE
)
_SENTENCES = re.compile(r"[.!?\u2026]\s+\S|[\u3002\uff01\uff1f]\s*\S|\n\s*\S")
_ENDS = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]+")
_POSSESSIVE = re.compile(r"\b(its|his|her|their)\b(?=\s+\w)", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(it|he|she|they|him|them|this|that)\b", re.IGNORECASE)
#: Something that may be a name: a capital after the first word, a digit, a quote.
_NAME_LIKE = re.compile(r"(?<=\s)[\"'\u201c\u00ab]?[^\W\d_a-z]|\d")


class Clause(NamedTuple):
    """A part of a question.

    Attributes:
        text: as the memory is asked, with a subject in place of a pronoun.
        at: its number among the clauses of the question, from 0.
    """

    text: str
    at: int


def clauses_of(question: str, subjects_in: Callable[[str], Sequence[str]]) -> list[Clause]:
    """The clauses of a question, in their order; one with the whole text where nothing splits it.

    A text that is too long for a question, or has too many clauses, stays whole.

    Args:
        question: what is asked.
        subjects_in: the known subjects that a text names, as they are spelled there. Called only if the
            question may have several clauses.

    >>> known = lambda text: [name for name in ("Velmora", "Stelco") if name in text]
    >>> clauses_of("Who owns Stelco and what is the capital of Velmora?", known)
    [Clause(text='Who owns Stelco', at=0), Clause(text='what is the capital of Velmora?', at=1)]
    >>> [clause.text for clause in clauses_of("Who owns Stelco, and where is its seat?", known)]
    ['Who owns Stelco', "where is Stelco's seat?"]
    """
    if len(question) > _LONGEST or not any(sign.search(question) for sign in (_SENTENCES, _BOUNDARY, _LIST)):
        return [Clause(question, 0)]
    names = list(subjects_in(question))
    texts, last = list[str](), ""
    for part in _parts(question, names):
        named, text = [name for name in names if name in part], part
        if not named and last and refers(part):
            text, named = with_subject(part, last), [last]
        last = max(named, key=text.rfind) if named else last
        texts += [text, *(_items(text, named) if named else ())]
    if not 1 < len(texts) <= _MOST:
        return [Clause(question, 0)]
    return [Clause(text, at) for at, text in enumerate(texts)]


def _items(text: str, names: Sequence[str]) -> list[str]:
    """The clause once for each item of its first list; none where it has no list.

    >>> _items("What are Velmora's capital and currency?", ["Velmora"])
    ["What are Velmora's capital?", "What are Velmora's currency?"]
    """
    by_sign = {chr(_PRIVATE + n): name for n, name in enumerate(sorted(names, key=len, reverse=True))}
    for sign, name in by_sign.items():
        text = text.replace(name, sign)
    match = _LIST.search(text)
    if match is None:
        return []
    found = []
    for item in (match[1], *filter(None, re.split(r"\s*,\s*", match[2])), match[3]):
        one = f"{text[: match.start()]}{item}{text[match.end() :]}"
        for sign, name in by_sign.items():
            one = one.replace(sign, name)
        found.append(one)
    return found


def refers(text: str) -> bool:
    """Whether a text has a pronoun that may stand for a subject."""
    return bool(_POSSESSIVE.search(text) or _PRONOUN.search(text))


def with_subject(question: str, subject: str) -> str:
    """The question with its first pronoun replaced by a subject.

    >>> with_subject("Who founded it?", "Stelco"), with_subject("When did his career begin?", "Ali")
    ('Who founded Stelco?', "When did Ali's career begin?")
    """
    if _POSSESSIVE.search(question):
        return _POSSESSIVE.sub(lambda _: f"{subject}'s", question, count=1)
    return _PRONOUN.sub(lambda _: subject, question, count=1)


def _parts(question: str, names: Sequence[str]) -> list[str]:
    """The parts of the question, before pronouns are replaced."""
    taken = [(m.start(), m.end()) for name in names for m in re.finditer(re.escape(name), question)]
    bounds = list[tuple[int, int]]()  # where a part ends, and where the next one begins
    named = False  # whether a sentence before had a subject, or referred to one
    for start, end in _sentence_spans(question):
        sentence = question[start:end]
        own = any(name in sentence for name in names) or (named and refers(sentence))
        if own and named:
            bounds.append((start, start))
        named = named or own
        for match in _BOUNDARY.finditer(sentence):
            after = sentence[match.end() :]
            asks = any(name in after for name in names) or refers(after) or _NAME_LIKE.search(after)
            before = sentence[: match.start()].split()
            if asks and len(before) >= _FEWEST_WORDS:
                bounds.append((start + match.start(), start + match.end()))
    bounds = [(a, b) for a, b in bounds if not any(low < b < high for low, high in taken)]
    starts = [0, *(b for _, b in bounds)]
    ends = [*(a for a, _ in bounds), len(question)]
    return [text for a, b in zip(starts, ends, strict=True) if (text := question[a:b].strip())]


def _sentence_spans(text: str) -> list[tuple[int, int]]:
    """Characters [start, end) of each sentence, with the signs that end it."""
    spans, at = list[tuple[int, int]](), 0
    for sentence in sentences(text):
        start = text.find(sentence, at)
        if start < 0:
            break
        at = start + len(sentence)
        if end := _ENDS.match(text, at):
            at = end.end()
        spans.append((start, at))
    return spans or [(0, len(text))]
