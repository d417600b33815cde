"""Whose answers a correction can change: its subject, and every other name that its wordings mention.

Text only. A wording that names something else teaches the model about that too, in whatever key the fact
is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby

from guardedit.core.correction import Correction
from guardedit.core.fact import Wording
from guardedit.naming import Name, Token, find_mentions, identity, name_of, tokens
from guardedit.policy.reserved import why_reserved

#: Signs that do not end a name: "O'Brien", "Jean-Luc", "St. Louis".
_WITHIN = frozenset("'-.&")
_ENDS = frozenset(".!?:;")


def reach(correction: Correction, known: Collection[Name] = ()) -> tuple[str, ...]:
    """Identities of the subject, first, and of the other names in the wordings, sorted.

    A name is one that the caller knows, wherever it stands outside the placeholder, or a run of capitalised
    words or numbers. A capital that opens the wording is grammar, and so is one that opens a later sentence
    with a word of every sentence. What belongs to the answers, old or new, is not counted.

    Args:
        correction: any; nothing of it is judged.
        known: names of live facts and of the probe set, as `naming.name_of`; a set or a dictionary.

    >>> told = Correction(id="a", subject="York", prompt="{} is not New York; it lies in", target_new="Lima")
    >>> reach(told)
    ('york', 'new york')
    """
    longest = max(map(len, known), default=0)
    answers = [name_of(answer) for answer in (correction.target_new, correction.target_true or "")]
    found = {
        name
        for wording in correction.worded
        for name in (*_known(wording, known, longest), *_runs(wording))
        if not any(_within(name, answer) for answer in answers)
    }
    subject = identity(correction.subject)
    return subject, *sorted({" ".join(name) for name in found} - {subject})


def charged(correction: Correction, known: Collection[Name] = ()) -> tuple[str, ...]:
    """Of the names that it reaches those whose daily quota it uses up: its subject and what is surely a name.

    That is a known name, or one of several words. "English" or a year in a wording that a thousand
    corrections share is none: the quota would stop the whole stream.

    >>> told = Correction(id="a", subject="Ada", prompt="Its English name in New York is {}:", target_new="x")
    >>> reach(told), charged(told)
    (('ada', 'english', 'new york'), ('ada', 'new york'))
    """
    subject, *others = reach(correction, known)
    return subject, *(name for name in others if " " in name or (name,) in known)


def _known(wording: Wording, known: Collection[Name], longest: int) -> Iterator[Name]:
    for mention in find_mentions(wording.text, known, longest=longest) if known else ():
        if not _overlaps(mention.start, mention.end, wording):
            yield mention.name


def _runs(wording: Wording) -> Iterator[Name]:
    """Names by their looks: words with a capital or a digit in front, side by side."""
    row = [token for token in tokens(wording.text) if not _overlaps(token.start, token.end, wording)]
    marked = [(token, _named(wording.text, row, n)) for n, token in enumerate(row)]
    start = 0
    for named, group in groupby(marked, key=lambda pair: pair[1]):
        count = len(list(group))
        if named:
            yield from _parted(wording.text, row[start : start + count])
        start += count


def _parted(text: str, row: list[Token]) -> Iterator[Name]:
    """A run cut where more than a space lies between two tokens, as where the subject stood."""
    begin = 0
    for n in range(1, len(row) + 1):
        if n == len(row) or text[row[n - 1].end : row[n].start].strip():
            part = tuple(token.text for token in row[begin:n])
            if not why_reserved(" ".join(part)):
                yield part
            begin = n


def _named(text: str, row: list[Token], n: int) -> bool:
    token = row[n]
    if token.text in _WITHIN:
        return 0 < n < len(row) - 1 and _joins(text, row[n - 1], token, row[n + 1])
    if not _looks_like_a_name(text, token):
        return False
    if not _opens(row, n):
        return True
    if text[token.end : token.end + 1] == ":":
        return False  # a label: "Question: ... Answer:"
    # A capital that opens the wording is grammar, unless the name goes on: "New York is", not "Is York".
    goes_on = n + 1 < len(row) and _looks_like_a_name(text, row[n + 1])
    return not why_reserved(token.text) and (goes_on or n > 0 or token.start > 0)


def _joins(text: str, before: Token, sign: Token, after: Token) -> bool:
    """Whether a sign is within a name: both sides look like one, and a full stop ends no sentence."""
    sides = _looks_like_a_name(text, before) and _looks_like_a_name(text, after)
    apart = text[sign.end : after.start].isspace()
    return sides and (not apart or sign.text == "&" or (sign.text == "." and _shortened(before)))


def _opens(row: list[Token], n: int) -> bool:
    """Whether it is the first word of the wording or of a sentence in it."""
    if n == 0:
        return True
    return row[n - 1].text in _ENDS and not (n > 1 and row[n - 1].text == "." and _shortened(row[n - 2]))


def _shortened(token: Token) -> bool:
    """A full stop behind it may be part of the name: "St.", "J."."""
    return len(token.text) <= 2


def _looks_like_a_name(text: str, token: Token) -> bool:
    return text[token.start].isupper() or text[token.start].isdecimal()


def _overlaps(start: int, end: int, wording: Wording) -> bool:
    return wording.subject_at is not None and start < wording.subject_at[1] and end > wording.subject_at[0]


def _within(name: Name, answer: Name) -> bool:
    return any(answer[n : n + len(name)] == name for n in range(len(answer) - len(name) + 1))
