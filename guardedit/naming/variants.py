"""Other spellings and short forms of names, as people type them.

Two names with the same reduced form differ by typography alone: accents, apostrophes, hyphens, full stops,
an article in front, `&` for `and`. That is no identity: subjects that differ by an accent are two subjects.
So a name that a text gives exactly comes before one that has the same reduced form.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from guardedit.naming.folding import APOSTROPHES, HYPHENS
from guardedit.naming.words import Name, Token

_ARTICLES = frozenset({"the", "a", "an"})
_SIGNS = frozenset({*APOSTROPHES, *HYPHENS, ".", ",", '"', "(", ")", "/", ":"})
#: Words that end the names of places, works and organisations, which nobody calls by this word alone.
_ENDS_NO_PERSON = frozenset(
    {
        "academy", "airlines", "airport", "award", "bank", "bay", "bridge", "castle", "center", "centre",
        "church", "city", "club", "college", "company", "corporation", "council", "county", "day",
        "festival", "foundation", "games", "group", "hall", "hospital", "house", "inc", "institute",
        "island", "islands", "lake", "language", "league", "library", "limited", "llc", "ltd", "mountain",
        "mountains", "museum", "ocean", "palace", "park", "party", "plc", "prize", "province", "records",
        "river", "school", "sea", "service", "services", "show", "society", "square", "state", "states",
        "station", "street", "studios", "system", "systems", "theatre", "tower", "union", "university",
        "valley", "war",
    }
)  # fmt: skip


def plain(word: str) -> str:
    """A folded token without accents.

    >>> plain("céline"), plain("łódź"), plain("ø")
    ('celine', 'lodz', 'o')
    """
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFD", word.translate(_LETTERS))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


#: Latin letters that Unicode does not take apart into a letter and a mark.
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})


def reduced_tokens(row: Iterable[Token]) -> list[Token]:
    """The tokens without signs and accents, at their old positions."""
    return [
        Token("and" if token.text == "&" else plain(token.text), token.start, token.end)
        for token in row
        if token.text not in _SIGNS
    ]


def reduced(name: Name) -> frozenset[Name]:
    """The reduced forms of a name: its words, and the same with what signs separated written as one word.

    >>> sorted(reduced(("fifi", "d", "'", "orsay")))
    [('fifi', 'd', 'orsay'), ('fifi', 'dorsay')]
    >>> sorted(reduced(("the", "procter", "&", "gamble")))
    [('procter', 'and', 'gamble')]
    """
    spaced, joined = list[str](), list[str]()
    glued = False
    for word in name:
        if word in _SIGNS:
            glued = bool(joined) and word not in "(),:"
            continue
        text = "and" if word == "&" else plain(word)
        spaced.append(text)
        if glued and len(joined[-1]) and text != "and":
            joined[-1] += text
        else:
            joined.append(text)
        glued = False
    return frozenset(tuple(form) for form in map(_without_article, (spaced, joined)) if form)


def short_form(subject: str, name: Name) -> Name | None:
    """The last word of what may be a person's name: "Einstein"; None where a name has no such form.

    >>> from guardedit.naming.words import name_of
    >>> [short_form(one, name_of(one)) for one in ("Albert Einstein", "Amazon River", "Paris", "BMW N52")]
    [('einstein',), None, None, None]
    """
    words = subject.split()
    if not 2 <= len(words) <= 4 or not all(word[0].isupper() for word in (words[0], words[-1])):
        return None
    last = plain(name[-1])
    if len(last) < 4 or not last.isalpha() or last in _ENDS_NO_PERSON or plain(name[0]) in _ARTICLES:
        return None
    return (last,)


def _without_article(form: list[str]) -> list[str]:
    return form[1:] if len(form) > 1 and form[0] in _ARTICLES else form
