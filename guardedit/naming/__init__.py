r"""When two names are the same, and where a name stands in a text.

Text only: no facts, no vectors, no tokenizer. Names are compared token by token, after folding. Keys, the
memory, the ledger's look-ups and the quota all ask here. Folding and cutting follow Unicode, by the package
`regex`: it knows scripts, marks and extended grapheme clusters (`\X`), is a single wheel without a system
library, and comes with transformers anyway. PyICU would need ICU's headers on every machine, and its word
boundaries come from dictionaries that change with its version, so that a ledger's keys would depend on
them; uniseg is pure Python and ten times slower.
"""

from __future__ import annotations

from guardedit.naming.mentions import Mention, Span, find_mentions, last_span
from guardedit.naming.words import Name, Token, identity, name_of, tokens

__all__ = [
    "Mention",
    "Name",
    "Span",
    "Token",
    "find_mentions",
    "identity",
    "last_span",
    "name_of",
    "tokens",
]
