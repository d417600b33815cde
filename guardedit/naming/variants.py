"""Other spellings and short forms of names, as people type them.

A form is a text without spaces: the letters and digits of a name without accents and signs. Two names that
share a form are not the same name: subjects that differ by an accent alone are two subjects. So a name that
a text gives exactly comes before one that it gives in another form.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import regex

from guardedit.naming.folding import APOSTROPHES, HYPHENS
from guardedit.naming.words import Token, tokens

#: Signs that people leave out or write otherwise.
SIGNS = frozenset({*APOSTROPHES, *HYPHENS, *'.,"()[]/:!?', "\u2013", "\u2014", "\u2026"})
ARTICLES = frozenset({"the", "a", "an"})
#: Ways to write one word.
_SAME = {
    "&": "and", "st": "saint", "ste": "sainte", "mt": "mount", "ft": "fort", "jr": "junior", "sr": "senior",
    "vs": "versus", "ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9",
}  # fmt: skip
#: Legal forms of companies.
LEGAL_FORMS = frozenset(
    {
        "ag", "bv", "co", "corp", "gmbh", "inc", "incorporated", "limited", "llc", "lp", "ltd", "nv", "plc",
        "sa",
    }
)  # fmt: skip
_COMPANIES = frozenset({"company", "corporation", "group", "holdings"})
#: Titles and ranks before a person's name.
TITLES = frozenset(
    {
        "admiral", "baron", "bishop", "captain", "cardinal", "chancellor", "chief", "colonel", "count",
        "dame", "doctor", "dr", "duke", "emperor", "empress", "general", "governor", "judge", "justice",
        "king", "lady", "lord", "major", "miss", "mr", "mrs", "ms", "pope", "president", "prince", "princess",
        "professor", "prof", "queen", "rabbi", "reverend", "saint", "senator", "sir", "sultan",
    }
)  # fmt: skip
#: Small words that belong to the family name behind them.
PARTICLES = frozenset(
    {
        "al", "bin", "ben", "da", "dal", "de", "dei", "del", "della", "den", "der", "di", "do", "dos", "du",
        "el", "ibn", "la", "las", "le", "los", "van", "von", "y", "zu",
    }
)  # fmt: skip
#: Words that end the names of organisations and countries, which have acronyms.
_ORGANISATIONS = frozenset(
    {
        "academy", "agency", "army", "association", "bank", "bureau", "college", "commission", "committee",
        "company", "conference", "corporation", "council", "department", "emirates", "federation",
        "foundation", "fund", "institute", "kingdom", "league", "nations", "organisation", "organization",
        "party", "republic", "service", "services", "society", "state", "states", "systems", "union",
        "university",
    }
)  # fmt: skip
#: Words that end the names of things that nobody calls by this word alone.
_ENDS_NO_PERSON = _ORGANISATIONS | {
    "airlines", "airport", "airways", "award", "awards", "band", "bay", "beach", "bridge", "castle",
    "center", "centre", "championship", "channel", "church", "city", "club", "communications", "county",
    "court", "cup", "day", "district", "electric", "entertainment", "family", "festival", "force",
    "games", "group", "hall", "hospital", "hotel", "house", "inc", "industries", "island", "islands",
    "lake", "language", "library", "limited", "llc", "ltd", "machines", "magazine", "motors",
    "mountain", "mountains", "museum", "network", "news", "ocean", "office", "orchestra", "palace",
    "park", "peninsula", "pictures", "plc", "press", "prize", "province", "railway", "records", "river",
    "road", "school", "sea", "series", "show", "software", "square", "station", "street", "studios",
    "system", "team", "technologies", "technology", "telecom", "theatre", "tower", "town", "trophy",
    "valley", "village", "war", "works",
}  # fmt: skip
#: Latin letters that Unicode does not take apart into a letter and a mark.
_LETTERS = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d", "\u0131": "i"}
)
_ACCENTS = regex.compile(r"(?<=[\p{Latin}\p{Greek}]\p{M}*)\p{M}")
#: How the letters with marks of German and of the northern languages are written without them.
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
#: Words of the longest name that has an acronym.
_MOST_WORDS = 8


def plain(word: str) -> str:
    """A folded token without the accents of Latin and Greek letters.

    >>> plain("céline"), plain("łódź"), plain("ø"), plain("राम")
    ('celine', 'lodz', 'o', 'राम')
    """
    if word.isascii():
        return word
    letters = _ACCENTS.sub("", unicodedata.normalize("NFD", word.translate(_LETTERS)))
    return unicodedata.normalize("NFC", letters)


class Reduced(NamedTuple):
    """A token without accents, an abbreviation spelt out, and its place in the row of tokens."""

    text: str
    at: int


def reduced_row(row: Sequence[Token]) -> list[Reduced]:
    """The tokens of a row without signs and accents; abbreviations are spelt out.

    >>> [token.text for token in reduced_row(tokens("Mt. D’Orsay II & Søn"))]
    ['mount', 'd', 'orsay', '2', 'and', 'son']
    """
    return [
        Reduced(_SAME.get(token.text) or plain(token.text), at)
        for at, token in enumerate(row)
        if token.text not in SIGNS
    ]


def reduced_words(text: str) -> tuple[str, ...]:
    """The texts of the reduced row of a text."""
    return tuple(token.text for token in reduced_row(tokens(text)))


def form_of(text: str) -> str:
    """The form of a text: its reduced words without spaces.

    >>> form_of("Fifi D’Orsay"), form_of("Spider-Man") == form_of("Spider Man"), form_of("!!!")
    ('fifidorsay', True, '')
    """
    return "".join(reduced_words(text))


def written_forms(name: str) -> set[str]:
    """The forms of a whole name, also without article, legal form or an acronym in parentheses.

    >>> sorted(written_forms("The Procter & Gamble Co."))
    ['procterandgamble', 'procterandgambleco', 'theprocterandgambleco']
    >>> sorted(written_forms("Zürich")), sorted(written_forms("World Bank (WB)"))
    (['zuerich', 'zurich'], ['worldbank', 'worldbankwb'])
    """
    outside, inside = _parenthesis(name)
    words = reduced_words(name)
    rows = [words, _without_article(words), _without_legal_form(_without_article(words))]
    if inside and form_of(inside) in _organisation(outside):
        rows += [reduced_words(outside), _without_article(reduced_words(outside))]
    if not name.isascii():
        rows.append(reduced_words(unicodedata.normalize("NFC", name.lower()).translate(_SPELT_OUT)))
    return {"".join(row) for row in rows} - {""}


def short_forms(name: str) -> set[str]:
    """The short forms of a name: a family name, an acronym, a name without its parenthesis.

    >>> short_forms("Albert Einstein"), sorted(short_forms("Vincent van Gogh"))
    ({'einstein'}, ['gogh', 'vangogh'])
    >>> short_forms("World Health Organization (WHO)"), short_forms("Mercury (planet)")
    ({'who'}, {'mercury'})
    >>> [short_forms(name) for name in ("Amazon River", "Paris", "BMW N52", "The Lord of the Rings")]
    [set(), set(), {'n52'}, set()]
    """
    outside, inside = _parenthesis(name)
    words = outside.split()
    rows = list(_family_names(words))
    if len(words) > 1 and reduced_words(words[-1])[-1:] in [(word,) for word in _COMPANIES]:
        rows.append(_without_article(reduced_words(" ".join(words[:-1]))))
    if inside:
        rows.append(_without_article(reduced_words(outside)))
        if inside.isupper() and " " not in inside:
            rows.append(reduced_words(inside))
    short = {"".join(row) for row in rows} | _organisation(outside) | _code(words)
    return short - {""} - written_forms(name)


def _parenthesis(name: str) -> tuple[str, str]:
    """What is before a parenthesis at the end, and what is in it."""
    outside, found, rest = name.partition("(")
    if found and outside.strip() and rest.endswith(")") and rest[:-1].strip():
        return outside.strip(), rest[:-1].strip()
    return name, ""


def _family_names(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """If this may be the name of a person: the family name, and the name without its title or initial."""
    parts = [reduced_words(word) for word in words]
    if len(parts) > 2 and parts[-1] in {("junior",), ("senior",), ("2",), ("3",), ("4",)}:
        parts = parts[:-1]
    if not 2 <= len(parts) <= 5 or not all(map(_is_part_of_person, words, parts)) or parts[0][0] in ARTICLES:
        return
    if len(parts[-1][-1]) < 3 or parts[-1][-1] in _ENDS_NO_PERSON:
        return
    yield parts[-1]
    first = len(parts) - 1
    while first > 1 and parts[first - 1][0] in PARTICLES:
        first -= 1
    yield _joined(parts[first:])
    if len(parts) > 2 and parts[0][0] in TITLES:
        yield _joined(parts[1:])
    if len(parts) == 3 and len(parts[1][0]) == 1:  # John F. Kennedy
        yield _joined([parts[0], parts[2]])


def _is_part_of_person(word: str, part: tuple[str, ...]) -> bool:
    return bool(part) and (part[0] in PARTICLES or (word[0].isupper() and "".join(part).isalpha()))


def acronyms(name: str, *, least: int) -> set[str]:
    """The first letters of a name without its articles, if they are at least so many.

    >>> acronyms("The United States of America", least=3), acronyms("Bank of America", least=3)
    ({'usa'}, set())
    """
    words = [word for word in name.split() if word[0].isalpha() and word.lower() not in ARTICLES]
    initials = plain("".join(word[0].lower() for word in words if word[0].isupper()))
    fits = least <= len(initials) and len(words) <= _MOST_WORDS and initials.isascii()
    return {initials} if fits else set()


def _organisation(name: str) -> set[str]:
    """The acronym of what is an organisation, a country or a city by the words of its name.

    >>> _organisation("New York City"), _organisation("European Union"), _organisation("Albert Einstein")
    ({'nyc'}, {'eu'}, set())
    """
    *_, last = name.lower().split() or [""]
    if last in _ORGANISATIONS:
        return acronyms(name, least=2)
    named = last in _ENDS_NO_PERSON or any(word.islower() for word in name.split())
    return acronyms(name, least=3) if named else set()


def _code(words: Sequence[str]) -> set[str]:
    """The code that ends a name: "N52" of BMW N52."""
    code = form_of(words[-1]) if len(words) > 1 else ""
    return {code} if len(code) > 2 and code.isalnum() and not code.isalpha() and not code.isdigit() else set()


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(word for part in parts for word in part)


def _without_article(words: tuple[str, ...]) -> tuple[str, ...]:
    return words[1:] if len(words) > 1 and words[0] in ARTICLES else words


def _without_legal_form(words: tuple[str, ...]) -> tuple[str, ...]:
    while len(words) > 1 and words[-1] in LEGAL_FORMS:
        words = words[:-1]
    return words
