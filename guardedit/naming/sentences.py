"""Where the first sentence of an answer ends, and whether a name stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guardedit.naming.mentions import Mention, find_mentions
from guardedit.naming.words import Name, name_of

#: Abbreviations that end in a full stop. Compared without regard to case.
ABBREVIATIONS = frozenset(
    {"capt", "co", "col", "corp", "dr", "ft", "gen", "inc", "jr", "lt", "ltd", "mr", "mrs", "ms", "mt"}
    | {"no", "prof", "rev", "sgt", "sr", "st", "ste", "vs"}
)
_LAST_WORD = re.compile(r"[^\W\d_]+\Z")
#: Marks that end a sentence: some before white space or the end, those of other scripts anywhere.
_OTHER_ENDS = re.compile(
    r"[!?](?=[\s\"'\u201d\u2019)\]]|\Z)|[\u3002\uff01\uff1f\uff61\u0964\u0965\u06d4\u061f\u1362]"
)
#: Words that are part of the place name that they begin: `York` is not named in `New York`.
_BEGINS_PLACES = frozenset(
    {
        "new", "north", "south", "east", "west", "northern", "southern", "eastern", "western", "upper",
        "lower", "saint", "st", "san", "santa", "santo", "fort", "port", "mount", "mt", "lake", "cape",
        "los", "las", "el",
    }
)  # fmt: skip
_INSIDE_NUMBER = re.compile(r"\d[.,:]\d")
_DASHES = frozenset("-\u2010\u2011")


def answer_end(text: str, *, final: bool) -> int | None:
    """Index where the answer at the start of `text` ends; None when it goes on or more text is needed.

    An answer ends at a line break, and at a full stop that is followed by white space or by the end. A full
    stop does not end it after a word of `ABBREVIATIONS` when a letter or digit follows (`King Jr. is`,
    `No. 5`), nor after a single capital letter when a capital letter or digit follows (`J. R. R. Tolkien`).
    So an answer like `C. It is` is read further: it may get longer, but nothing is lost.

    Args:
        text: the text generated so far.
        final: no text follows, because the model ended the text or the token limit is reached.

    >>> answer_end(" Rome. It", final=False)
    5
    >>> answer_end(" Rome.", final=False) is None
    True
    >>> answer_end(" St. Louis.", final=True)
    10
    """
    body = len(text) - len(text.lstrip())
    for i in range(body, len(text)):
        if text[i] in "\n\r":
            return i
        if text[i] == "." and (stops := _stops(text, i, final=final)) is not False:
            return i if stops else None
    return len(text) if final else None


def first_sentence(text: str) -> str:
    """The first sentence of a text without the sign that ends it, in any script.

    >>> first_sentence("It is St. Louis! Rome is not."), first_sentence("巴黎。是的")
    ('It is St. Louis', '巴黎')
    """
    return text[: _sentence_end(text)].strip()


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, each as `first_sentence` would give it; empty ones are left out.

    >>> list(sentences("Sure! It is Karsk. Bye"))
    ['Sure', 'It is Karsk', 'Bye']
    """
    while text:
        end = _sentence_end(text)
        if sentence := text[:end].strip():
            yield sentence
        text = text[end + 1 :]


def contains_name(text: str, name: str) -> bool:
    """Whether the first sentence of a text names this name, as a whole and in any spelling.

    A full stop at the end of the name may be missing in the text, and the name itself may contain the end of
    a sentence (`E. coli`). Not the name: part of another word or number (`3` in `3.5`), of a hyphenated name,
    or the end of a place name that begins with a word such as `New`. What follows it as words of their own
    does not matter, as in `Toyota Motor`.

    >>> contains_name("Russian, fluent in English", "Russian"), contains_name("Born in New York", "York")
    (True, False)
    """
    return name_at(text, name) is not None


def name_at(text: str, name: str) -> int | None:
    """Index of the first place where `contains_name` finds the name; None where it does not."""
    wanted = _bare(name_of(name))
    if not wanted:
        return None
    end = _sentence_end(text)
    for found in find_mentions(text, {wanted}, longest=len(wanted)):
        if found.start >= end:
            return None
        if not _is_part(text, found):
            return found.start
    return None


def _sentence_end(text: str) -> int:
    body = len(text) - len(text.lstrip())
    other = _OTHER_ENDS.search(text, body)
    end = answer_end(text, final=True)
    return min(len(text) if end is None else end, len(text) if other is None else other.start())


def _stops(text: str, i: int, *, final: bool) -> bool | None:
    """Whether the full stop at `i` ends the answer; None when the next letters are needed to decide."""
    rest = text[i + 1 :]
    if rest and not rest[0].isspace():
        return False
    if rest[:1] in ("\n", "\r"):
        return True
    following = rest.strip()[:1]
    if not following:
        return True if final else None
    word = _LAST_WORD.search(text[:i])
    if word is None:
        return True
    if word[0].lower() in ABBREVIATIONS:
        return not following.isalnum()
    initial = len(word[0]) == 1 and word[0].isupper()
    return not (initial and (following.isupper() or following.isdigit()))


def _bare(name: Name) -> Name:
    """The name without full stops at its end, since an answer is cut there."""
    end = len(name)
    while end and name[end - 1] == ".":
        end -= 1
    return name[:end] or name


def _is_part(text: str, found: Mention) -> bool:
    """Whether the name found is only a part of a longer name or number."""
    start, end = found.start, found.end
    if _INSIDE_NUMBER.fullmatch(text[max(0, start - 2) : start + 1]):
        return True
    if _INSIDE_NUMBER.fullmatch(text[end - 1 : end + 2]):
        return True
    if text[end : end + 1] in _DASHES and text[end + 1 : end + 2].isalnum():
        return True
    if text[start - 1 : start] in _DASHES and text[start - 2 : start - 1].isalnum():
        return True
    beside = (text[start - 1 : start] + text[end : end + 1]).strip()
    if found.extended and any(map(str.isalnum, beside)):
        return True  # in a script without spaces the neighbour may belong to the same word
    before = text[:start].split()[-1:]
    return bool(before) and before[0][:1].isupper() and _is_place_word(before[0])


def _is_place_word(word: str) -> bool:
    return word.rstrip(".").casefold() in _BEGINS_PLACES
