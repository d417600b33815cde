"""Find the known subjects that a text names, in all ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guardedit.memory.names.asked_text import AskedText
from guardedit.memory.names.english import is_common
from guardedit.memory.names.index import NameIndex, Way
from guardedit.memory.names.mending import misspelt
from guardedit.memory.names.runs import Named, Run, is_unbroken, named_by
from guardedit.naming.mentions import is_whole

#: Words of the longest name that is looked for in another form than its own.
_MOST_WORDS = 16
#: Words that may stand before the article of a known name and belong to a longer known one.
_BEGINNINGS = frozenset({"a", "an", "at", "by", "for", "from", "in", "of", "on", "the", "to", "with"})


def find_named(text: str, indexes: Sequence[NameIndex]) -> list[Named]:
    """The known subjects that a text names, surest ways first. Of names at one place the longest counts.

    The time depends on the length of the text, hardly on the number of names.
    """
    asked = AskedText(text)
    used = bytearray(len(asked.row))
    found = list(_written_right(asked, indexes, used))
    found += misspelt(asked, indexes, used)
    return sorted(found, key=lambda one: one.way)


def _written_right(asked: AskedText, indexes: Sequence[NameIndex], used: bytearray) -> Iterator[Named]:
    """The subjects that a text names without a misspelt word. Marks their tokens in `used`."""
    places = {token.at: place for place, token in enumerate(asked.reduced)}
    covered = 0
    for first in range(len(asked.row)):
        runs = [(last, Way.EXACT, "") for last in _exact_ends(asked, first, indexes) if last > covered]
        if first >= covered and first in places:
            runs += [(run.last, Way.TYPOGRAPHY, run.form) for run in _runs(asked, places[first], indexes)]
        for last, way, form in sorted(runs, key=lambda run: (-run[0], run[1])):
            found = (
                list(_exact(asked, first, last, indexes))
                if way is Way.EXACT
                else list(_otherwise(asked, Run(first, last, form), indexes))
            )
            if found:
                yield from found
                used[first:last] = b"\1" * (last - first)
                covered = last
                break


def _exact_ends(asked: AskedText, first: int, indexes: Sequence[NameIndex]) -> list[int]:
    """Where known names that begin with this token may end."""
    lengths = {length for index in indexes for length in index.lengths(asked.row[first].text)}
    ends = [first + length for length in lengths if first + length <= len(asked.row)]
    return [last for last in ends if is_whole(asked.row, first, last)]


def _exact(asked: AskedText, first: int, last: int, indexes: Sequence[NameIndex]) -> Iterator[Named]:
    """The subjects with exactly the name of tokens [first, last).

    A longer known name does not hide the one behind its first words of grammar: "In the Heat of the Night".
    """
    words = tuple(token.text for token in asked.row[first:last])
    for skipped in range(len(words)):
        names = dict.fromkeys(bearer.subject for index in indexes for bearer in index.named(words[skipped:]))
        if names:
            here = first + skipped
            doubtful = asked.is_part(here, last) or asked.is_ordinary(here, last)
            start, end = asked.row[here].start, asked.row[last - 1].end
            yield from (Named(name, start, end, Way.EXACT, doubtful) for name in names)
        if (skipped == 0 and not names) or words[skipped] not in _BEGINNINGS:
            return


def _otherwise(asked: AskedText, run: Run, indexes: Sequence[NameIndex]) -> Iterator[Named]:
    """The subjects that a run names in another form than their own."""
    bearers = {bearer for index in indexes for bearer in index.formed(run.form)}
    found = {
        named.name: named  # the surest way of each
        for bearer in sorted(bearers, key=lambda one: (one.subject, -one.way))
        if (named := named_by(asked, run, bearer, bearer.way)) is not None
    }
    yield from found.values()


def _runs(asked: AskedText, place: int, indexes: Sequence[NameIndex]) -> Iterator[Run]:
    """The runs of reduced tokens from `place` on whose form may be known."""
    form, first, before = "", asked.reduced[place].at, -1
    for count, (text, at) in enumerate(asked.reduced[place : place + _MOST_WORDS]):
        if before >= 0 and not is_unbroken(asked, before, at):
            return
        form, before = form + text, at
        lengths = {length for index in indexes for length in index.form_lengths(form)}
        if len(form) in lengths:
            yield Run(first, at + 1, form)
        if (
            len(form) - 1 in lengths
            and len(text) > 3
            and text.endswith("s")
            and (count or not is_common(text))
        ):
            yield Run(first, at + 1, form[:-1])  # "einsteins nationality"
        if len(form) >= 3 and not any(length > len(form) for length in lengths):
            return
