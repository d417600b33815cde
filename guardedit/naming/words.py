"""Tokenize a text into words, single characters of scripts without spaces, and symbols.

Positions refer to the text as given. A combining mark belongs to its letter, no grapheme cluster is split,
and an emoji sequence is one token. Scripts without spaces are split where that needs no dictionary: between
characters, but never inside a syllable whose end is visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import regex

from guardedit.naming.folding import APOSTROPHES, IGNORED, fold

#: The comparable form of a name: its folded tokens.
Name = tuple[str, ...]

#: Scripts without spaces between words, and Korean, where particles are attached to the name.
_UNSPACED = (
    r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tai_Le}\p{New_Tai_Lue}"
    r"\p{Tai_Tham}\p{Tai_Viet}\p{Javanese}\p{Balinese}\u30fc\uff70\uff9e\uff9f]&&[\p{L}\p{N}\p{M}]]"
)
_LETTER = rf"[[\p{{L}}\p{{N}}_]--{_UNSPACED}--[{re.escape(APOSTROPHES)}]]"
#: Vowels that Thai and Lao write before and after their consonant.
_BEFORE, _AFTER = r"[\u0e40-\u0e44\u0ec0-\u0ec4]", r"[\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3]"
#: A consonant stacked below (Khmer, Burmese), and one that closes the syllable (Burmese).
_STACKED, _CLOSING = r"(?<=[\u17d2\u1039])\X", r"(?=[\u1000-\u1021][\u1037\u103b-\u103e]*\u103a)\X"
_TOKEN = regex.compile(
    rf"{_LETTER}(?:{_LETTER}|[\p{{M}}{IGNORED}])*"
    rf"|(?={_UNSPACED}){_BEFORE}?\X(?:\p{{M}}|{_STACKED}|{_AFTER}|{_CLOSING})*"
    rf"|(?![\s\x1c-\x1f{IGNORED}])\X",
    regex.VERSION1,
)
_ASCII_TOKEN = re.compile(r"\w+|[^\w\s]")


class Token(NamedTuple):
    """A word, a character of an unspaced script, or a symbol: folded text and characters [start, end)."""

    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """The tokens of a text in order.

    Several tokens have the same position if one character folds to several words, as some ligatures do.
    """
    if text.isascii():  # a fast path for most questions; the general one takes ten times as long
        plain = text.lower().replace("`", "'")
        return [Token(match.group(), *match.span()) for match in _ASCII_TOKEN.finditer(plain)]
    return list(_unicode_tokens(text))


def name_of(text: str) -> Name:
    """The comparable form of a name.

    >>> name_of("Guns N'  ROSES")
    ('guns', 'n', "'", 'roses')
    """
    return tuple(token.text for token in tokens(text))


def identity(text: str) -> str:
    """The comparable form of a name as one text: equal texts for equal names.

    >>> identity("STELCO") == identity("Stelco"), identity("New  York")
    (True, 'new york')
    """
    return " ".join(name_of(text))


def _unicode_tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        original = match.group()
        folded = original.lower() if original.isalnum() and original.isascii() else fold(original)
        parts = _TOKEN.findall(folded) if len(folded) > 1 and not original.isascii() else [folded]
        for part in parts:
            if part:
                yield Token(part, start, end)
