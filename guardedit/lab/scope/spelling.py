"""Other spellings of a subject, made by code: surname, a slip of the keyboard, other typography."""

from __future__ import annotations

import random
import re
import unicodedata

#: A person's name of two or three words, such as "Ada Lindqvist" or "J. B. Priestley".
_PERSON = re.compile(r"(?:[^\W\d_][\w.'\u2019-]* ){1,2}[^\W\d_][\w'\u2019-]{3,}")
#: Shortest word in which a slip is made. A slip in a short one often makes another word.
_LEAST_LETTERS = 6


def surname(subject: str) -> str | None:
    """The last word of a person's name; None for what does not look like one.

    >>> surname("Ada Lindqvist"), surname("Constantine the Great"), surname("Appian")
    ('Lindqvist', None, None)
    """
    words = subject.split(" ")
    if not _PERSON.fullmatch(subject) or not all(word[0].isupper() for word in words):
        return None
    return words[-1]


def misspelt(subject: str, rng: random.Random, *, slips: int = 1) -> str | None:
    """The subject with letters swapped, doubled or dropped in its longest word, never the first letter.

    None where no word is long enough.

    >>> misspelt("Volkswagen", random.Random(1)), misspelt("Ada Orr", random.Random(1))
    ('Volswagen', None)
    """
    word = max(re.findall(r"[^\W\d_]+", subject), key=len, default="")
    if len(word) < _LEAST_LETTERS:
        return None
    wrong = word
    for _ in range(slips):
        wrong = _slip(wrong, rng)
    found = subject.replace(word, wrong, 1)
    return found if wrong.casefold() != word.casefold() else None


def _slip(word: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(word) - 1)
    return rng.choice(
        (
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],  # swapped
            word[: at + 1] + word[at:],  # doubled
            word[:at] + word[at + 1 :],  # dropped
        )
    )


def typography(subject: str) -> dict[str, str]:
    """Other typography of a subject: what was changed -> the subject. Only what changes it.

    >>> typography("The Mâcon-Nord"), typography("Mâcon")
    ({'article': 'Mâcon-Nord', 'hyphen': 'The Mâcon Nord', 'accent': 'The Macon-Nord'}, {'accent': 'Macon'})
    """
    changed = {
        "article": re.sub(r"^The (?=\w)", "", subject),
        "hyphen": re.sub(r"(?<=\w)-(?=\w)", " ", subject),
        "accent": "".join(c for c in unicodedata.normalize("NFD", subject) if not unicodedata.combining(c)),
        "apostrophe": re.sub(r"(?<=\w)'(?=\w)", "\u2019", subject),
    }
    return {name: text for name, text in changed.items() if text != subject}
