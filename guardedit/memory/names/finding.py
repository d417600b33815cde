"""Find the known subjects that a text names, in all ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guardedit.memory.names.english import is_common
from guardedit.memory.names.index import Bearer, NameIndex, Way
from guardedit.memory.names.mending import misspelt
from guardedit.memory.names.reading import Reading
from guardedit.memory.names.runs import Named, Run, is_unbroken, named_by
from guardedit.naming import Name
from guardedit.naming.mentions import is_whole

#: Words of the longest name that is looked for in another form than its own.
_MOST_WORDS = 16
#: Words that may stand before the article of a known name and belong to a longer known one.
_BEGINNINGS = frozenset({"a", "an", "at", "by", "for", "from", "in", "of", "on", "the", "to", "with"})


def find_named(text: str, indexes: Sequence[NameIndex]) -> list[Named]:
    """The known subjects that a text names, surest ways first. A word is used by the surest way only.

    The time depends on the length of the text, hardly on the number of names.
    """
    reading = Reading(text)
    used = bytearray(len(reading.row))
    found = list(_exact(reading, indexes, used))
    found += _otherwise(reading, indexes, used)
    found += misspelt(reading, indexes, used)
    return sorted(found, key=lambda one: one.way)


def _exact(reading: Reading, indexes: Sequence[NameIndex], used: bytearray) -> Iterator[Named]:
    words = tuple(token.text for token in reading.row)
    covered = 0
    for first in range(len(words)):
        lengths = {length for index in indexes for length in index.lengths(words[first])}
        for last in sorted((first + length for length in lengths), reverse=True):
            if not covered < last <= len(words) or not is_whole(reading.row, first, last):
                continue
            bearers = _bearers(words[first:last], indexes)
            if bearers:
                yield from _all_named(reading, first, last, bearers)
                yield from _inner(reading, first, last, indexes)
                used[first:last] = b"\1" * (last - first)
                covered = last
                break


def _inner(reading: Reading, first: int, last: int, indexes: Sequence[NameIndex]) -> Iterator[Named]:
    """The known names that a longer known name has behind words of grammar: "In the Heat of the Night"."""
    words = tuple(token.text for token in reading.row[first:last])
    for skipped in range(1, len(words)):
        if words[skipped - 1] not in _BEGINNINGS:
            return
        yield from _all_named(reading, first + skipped, last, _bearers(words[skipped:], indexes))


def _bearers(name: Name, indexes: Sequence[NameIndex]) -> list[Bearer]:
    return [bearer for index in indexes for bearer in index.named(name)]


def _all_named(reading: Reading, first: int, last: int, bearers: Sequence[Bearer]) -> Iterator[Named]:
    if not bearers:
        return
    doubtful = reading.is_part(first, last) or reading.is_ordinary(first, last)
    start, end = reading.row[first].start, reading.row[last - 1].end
    for name in dict.fromkeys(bearer.subject for bearer in bearers):
        yield Named(name, start, end, Way.EXACT, doubtful)


def _otherwise(reading: Reading, indexes: Sequence[NameIndex], used: bytearray) -> Iterator[Named]:
    """The subjects that runs of unused tokens name in another form, the longest runs first at each place."""
    for place in range(len(reading.reduced)):
        for run in sorted(_runs(reading, place, indexes, used), key=lambda run: -run.last):
            bearers = {bearer for index in indexes for bearer in index.formed(run.form)}
            found = [
                named
                for bearer in sorted(bearers, key=lambda one: (one.subject, -one.way))
                if (named := named_by(reading, run, bearer, bearer.way)) is not None
            ]
            if found:
                yield from {one.name: one for one in found}.values()  # the surest way of each
                used[run.first : run.last] = b"\1" * (run.last - run.first)
                break


def _runs(reading: Reading, place: int, indexes: Sequence[NameIndex], used: bytearray) -> Iterator[Run]:
    """The runs of unused reduced tokens from `place` on whose form may be known."""
    form, first, before = "", reading.reduced[place].at, -1
    for text, at in reading.reduced[place : place + _MOST_WORDS]:
        if used[at] or (before >= 0 and not is_unbroken(reading, before, at)):
            return
        form, before = form + text, at
        lengths = {length for index in indexes for length in index.form_lengths(form)}
        if len(form) in lengths:
            yield Run(first, at + 1, form)
        if len(form) - 1 in lengths and text.endswith("s") and not is_common(text):
            yield Run(first, at + 1, form[:-1])  # "einsteins nationality"
        if len(form) >= 3 and not any(length > len(form) for length in lengths):
            return
