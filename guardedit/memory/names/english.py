"""English words, to tell a misspelt or shortened name from a word that somebody means.

`english_words.txt` has one word a line: common words in small letters, rare ones with a `?` behind them, and
names with a capital. It was made from public-domain books and sentences of an encyclopedia by
`python -m guardedit.memory.names.word_list TEXT...`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from guardedit.naming.variants import TITLES

WORDS = Path(__file__).with_name("english_words.txt")

#: Words of grammar, and the words that questions are made of; none of them is part of the name beside it.
FUNCTION_WORDS = frozenset(
    {
        "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
        "because", "been", "before", "being", "between", "but", "by", "can", "could", "did", "do",
        "does", "during", "ever", "for", "from", "had", "has", "have", "he", "her", "hers", "him",
        "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "like", "may", "me",
        "might", "mine", "my", "no", "nor", "not", "of", "on", "or", "our", "over", "please", "s",
        "shall", "she", "should", "since", "so", "some", "than", "that", "the", "their", "them",
        "then", "there", "these", "they", "this", "those", "through", "to", "under", "until", "up",
        "us", "was", "we", "were", "what", "when", "where", "whether", "which", "while", "who",
        "whom", "whose", "why", "will", "with", "without", "would", "you", "your",
    }
)  # fmt: skip
#: People who stand before the name of a place or company: "the President of France".
OFFICES = TITLES | {
    "ceo", "cfo", "chairman", "chairwoman", "cto", "director", "founder", "head", "leader", "mayor",
    "minister", "owner",
}  # fmt: skip
#: Words of questions that are too new for the texts of the list.
_NEW_WORDS = frozenset(
    {
        "app", "apps", "birthdate", "blog", "email", "footballer", "gdp", "genre", "headquartered", "hq",
        "info", "internet", "laptop", "movie", "movies", "online", "smartphone", "spouse", "timezone", "tv",
        "video", "website", "wiki",
    }
)  # fmt: skip
_ALWAYS_COMMON = FUNCTION_WORDS | OFFICES | _NEW_WORDS


def is_common(word: str) -> bool:
    """Whether a folded word is a common English word: "river", not "einstein".

    >>> is_common("river"), is_common("who"), is_common("einstein")
    (True, True, False)
    """
    return word in _words() or word in _ALWAYS_COMMON


def is_known(word: str) -> bool:
    """Whether a folded word is an English word, also a rare one, or a name that texts have.

    >>> is_known("maria"), is_known("river"), is_known("einstien")
    (True, True, False)
    """
    return is_common(word) or f"{word}?" in _words() or word.capitalize() in _words()


@cache
def _words() -> frozenset[str]:
    return frozenset(WORDS.read_text(encoding="utf-8").split())
