"""Finds the names whose answers a correction can change: subject, aliases, other names in its wordings.

Works on text alone. A wording that mentions another name also teaches the model about that name, whatever
key the fact is stored under.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby

from guardedit.core.correction import Correction
from guardedit.core.fact import Wording
from guardedit.naming import Name, Token, find_mentions, identity, name_of, tokens
from guardedit.policy.reserved import why_reserved

#: Signs that can occur within a name: "O'Brien", "Jean-Luc", "St. Louis".
_WITHIN = frozenset("'-.&")
#: Signs that end a sentence or a clause.
_ENDS = frozenset(".!?:;")


def reach(correction: Correction, known: Collection[Name] = ()) -> tuple[str, ...]:
    """Folded names (`naming.identity`): first the subject, then aliases and names in the wordings, sorted.

    A name in a wording is either a known name anywhere outside the subject, or a run of capitalised words or
    numbers. The first word of a wording does not count as capitalised, and neither does a function word that
    starts a later sentence. Names within the old or the new answer are left out.

    Args:
        correction: the correction.
        known: names of live facts and of the probe set, as `naming.name_of` gives them; a set or a
            dictionary.

    >>> one = Correction(id="a", subject="York", prompt="{} is not New York; it lies in", target_new="Lima")
    >>> reach(one)
    ('york', 'new york')
    """
    longest = max(map(len, known), default=0)
    answers = [name_of(answer) for answer in (correction.target_new, correction.target_true or "")]
    found = {
        name
        for wording in correction.located_wordings
        for name in (*_known_names(wording, known, longest), *_capitalised_names(wording))
        if not any(_is_within(name, answer) for answer in answers)
    }
    subject = identity(correction.subject)
    aliases = set(map(identity, correction.aliases))
    return subject, *sorted(({" ".join(name) for name in found} | aliases) - {subject})


def charged(correction: Correction, known: Collection[Name] = ()) -> tuple[str, ...]:
    """The reached names that count for the daily quota: subject, aliases, known names, several words.

    Other single words do not count. Otherwise a word such as "English", or a year, in a wording that a
    thousand corrections share would use up the quota and stop the whole stream.

    >>> one = Correction(id="a", subject="Ada", prompt="Its English name in New York is {}:", target_new="x")
    >>> reach(one), charged(one)
    (('ada', 'english', 'new york'), ('ada', 'new york'))
    """
    subject, *others = reach(correction, known)
    aliases = set(map(identity, correction.aliases))
    return subject, *(name for name in others if " " in name or (name,) in known or name in aliases)


def _known_names(wording: Wording, known: Collection[Name], longest: int) -> Iterator[Name]:
    for mention in find_mentions(wording.text, known, longest=longest) if known else ():
        if not _overlaps(mention.start, mention.end, wording):
            yield mention.name


def _capitalised_names(wording: Wording) -> Iterator[Name]:
    """Runs of neighbouring tokens that start with a capital or a digit."""
    row = [token for token in tokens(wording.text) if not _overlaps(token.start, token.end, wording)]
    flags = [_is_part_of_name(wording.text, row, n) for n in range(len(row))]
    start = 0
    for is_name, group in groupby(flags):
        end = start + len(list(group))
        if is_name:
            yield from _split_run(wording.text, row[start:end])
        start = end


def _split_run(text: str, row: list[Token]) -> Iterator[Name]:
    """The names in a run. It is split where more than a space is between two tokens, such as the subject."""
    start = 0
    for n in range(1, len(row) + 1):
        if n == len(row) or text[row[n - 1].end : row[n].start].strip():
            name = tuple(token.text for token in row[start:n])
            if not why_reserved(" ".join(name)):
                yield name
            start = n


def _is_part_of_name(text: str, row: list[Token], n: int) -> bool:
    """Whether token `n` of the row looks like a part of a name."""
    token = row[n]
    if token.text in _WITHIN:
        return 0 < n < len(row) - 1 and _joins(text, row[n - 1], token, row[n + 1])
    if not _looks_like_a_name(text, token):
        return False
    if not _starts_sentence(row, n):
        return True
    if text[token.end : token.end + 1] == ":":
        return False  # a label: "Question: ... Answer:"
    # The first word of the wording counts only if the next one is capitalised too: "New" in "New York is"
    # counts, "Is" in "Is York" does not.
    continues = n + 1 < len(row) and _looks_like_a_name(text, row[n + 1])
    return not why_reserved(token.text) and (continues or n > 0 or token.start > 0)


def _joins(text: str, before: Token, sign: Token, after: Token) -> bool:
    """Whether a sign is within a name: both sides look like one, and a full stop follows an abbreviation."""
    sides = _looks_like_a_name(text, before) and _looks_like_a_name(text, after)
    apart = text[sign.end : after.start].isspace()
    return sides and (not apart or sign.text == "&" or (sign.text == "." and _is_abbreviation(before)))


def _starts_sentence(row: list[Token], n: int) -> bool:
    """Whether token `n` is the first word of the wording or of a sentence in it."""
    if n == 0:
        return True
    return row[n - 1].text in _ENDS and not (
        n > 1 and row[n - 1].text == "." and _is_abbreviation(row[n - 2])
    )


def _is_abbreviation(token: Token) -> bool:
    """Whether a full stop after it may belong to a name: "St.", "J."."""
    return len(token.text) <= 2


def _looks_like_a_name(text: str, token: Token) -> bool:
    return text[token.start].isupper() or text[token.start].isdecimal()


def _overlaps(start: int, end: int, wording: Wording) -> bool:
    return wording.subject_at is not None and start < wording.subject_at[1] and end > wording.subject_at[0]


def _is_within(name: Name, answer: Name) -> bool:
    return any(answer[n : n + len(name)] == name for n in range(len(answer) - len(name) + 1))
