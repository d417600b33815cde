"""Runs of words in a text, and whether one of them names a subject whose form it has."""

from __future__ import annotations

from typing import NamedTuple

from guardedit.memory.names.asked_text import AskedText
from guardedit.memory.names.english import is_common
from guardedit.memory.names.index import Bearer, Way
from guardedit.naming import Name
from guardedit.naming.variants import ARTICLES, reduced_words

#: Letters of the shortest form that may be written with other spaces: "play station".
_SHORTEST_APART = 6
#: Signs that end a clause.
_BREAKS = frozenset(";:!?()\u2014\n")


class Named(NamedTuple):
    """A known subject that a text names at characters [start, end).

    Attributes:
        name: of the subject, also where the text has another name of it.
        start: of the first character.
        end: behind the last character.
        way: how it is named.
        doubtful: it is probably part of a longer name, or a common word. Such words are no names in another
            form than the exact one.
    """

    name: Name
    start: int
    end: int
    way: Way
    doubtful: bool


class Run(NamedTuple):
    """Tokens [first, last) of a text, and the form that they spell."""

    first: int
    last: int
    form: str


def named_by(asked: AskedText, run: Run, bearer: Bearer, way: Way) -> Named | None:
    """The subject that a run names in this way; None where it is more probably something else."""
    first, last, form = run
    if not _is_spaced_alike(asked, run, bearer):
        return None
    if asked.is_part(first, last):
        return None
    if asked.is_ordinary(first, last) and not _is_taken_apart(asked, run, bearer):
        return None
    if last - first == 1 and is_common(form) and not _may_be_name(asked, first, bearer, way):
        return None
    if bearer.way is Way.SHORT and asked.is_another_person(first, last, bearer.subject[0]):
        return None
    start, end = asked.row[first].start, asked.row[last - 1].end
    return Named(bearer.subject, start, end, way, doubtful=False)


def _may_be_name(asked: AskedText, at: int, bearer: Bearer, way: Way) -> bool:
    """Whether a common word, such as "Brown", is a name here."""
    if way is Way.MISSPELT or not asked.is_capital_inside(at):
        return False
    before = asked.before(at)
    if asked.text[asked.row[at].start : asked.row[at].end].isupper():
        return True
    return bearer.way is not Way.SHORT or before is None or before.text not in ARTICLES


def is_unbroken(asked: AskedText, left: int, right: int) -> bool:
    """Whether only signs of names and spaces are between two tokens: no end of a clause."""
    gap = asked.text[asked.row[left].end : asked.row[right].start]
    return len(gap) <= 3 and not any(sign in _BREAKS for sign in gap)


def _is_taken_apart(asked: AskedText, run: Run, bearer: Bearer) -> bool:
    """Whether words are those of one word of a name that is no common word: "face book"."""
    parts = asked.text[asked.row[run.first].start : asked.row[run.last - 1].end].split()
    return len(parts) > len(bearer.written.split()) and not is_common(run.form)


def _is_spaced_alike(asked: AskedText, run: Run, bearer: Bearer) -> bool:
    """Whether a run has the commas and words of the name; longer words may be put together or apart."""
    text = asked.text[asked.row[run.first].start : asked.row[run.last - 1].end]
    if "," in text and "," not in bearer.written:
        return False
    words, own = reduced_words(text), reduced_words(bearer.written)
    if words[0] in ARTICLES and words[0] != own[0]:
        return False  # "a da vinci" is not Ada Vinci
    if not any(map(str.isspace, text)):
        return True
    if bearer.way is Way.SHORT:
        return set(words) <= set(own)
    if len(run.form) >= _SHORTEST_APART:
        return True
    return words == own
