"""When two names are the same. Text only: no facts, no vectors, no tokenizer.

Names are compared token by token after NFKC and case folding. Keys, the memory, the ledger's look-ups and the
quota all ask here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\w\s]"
)

#: The comparable form of a name: its folded tokens.
Name = tuple[str, ...]


class Token(NamedTuple):
    """A word, an ideograph or a sign: folded text and its place in the original."""

    text: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Tokens of the text in order; places refer to the text as given."""
    return [
        Token(unicodedata.normalize("NFKC", match.group()).casefold(), *match.span())
        for match in _TOKEN.finditer(text)
    ]


def name_of(text: str) -> Name:
    """The comparable form of a name.

    >>> name_of("Guns N'  ROSES")
    ('guns', 'n', "'", 'roses')
    """
    return tuple(token.text for token in tokens(unicodedata.normalize("NFC", text)))


def identity(text: str) -> str:
    """The comparable form of a name as one text: equal for names that are the same.

    >>> identity("STELCO") == identity("Stelco"), identity("New  York")
    (True, 'new york')
    """
    return " ".join(name_of(text))
