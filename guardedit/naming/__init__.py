r"""Compare names, and find them in texts. Compare the keys of facts, and statements of declared relations.

This works on text alone, without a language model's tokenizer. Two names are the same when their folded
tokens are equal. Fact keys, the memory, the ledger's look-ups and the quota all use this comparison.

Folding and tokenizing follow Unicode, with the package `regex`: it knows scripts, marks and extended grapheme
clusters (`\X`), is a single wheel without a system library, and is a dependency of transformers anyway. PyICU
would need ICU's headers on every machine, and its word boundaries come from dictionaries that change with its
version, so a ledger's keys would depend on that version; uniseg is pure Python and ten times slower.
"""

from __future__ import annotations

from guardedit.naming.keys import key_name
from guardedit.naming.mentions import Mention, Span, find_mentions, last_span
from guardedit.naming.relations import Relations, contradicted
from guardedit.naming.sentences import answer_end, contains_name, first_sentence, name_at, sentences
from guardedit.naming.words import Name, Token, identity, name_of, tokens

__all__ = [
    "Mention",
    "Name",
    "Relations",
    "Span",
    "Token",
    "answer_end",
    "contains_name",
    "contradicted",
    "find_mentions",
    "first_sentence",
    "identity",
    "key_name",
    "last_span",
    "name_at",
    "name_of",
    "sentences",
    "tokens",
]
