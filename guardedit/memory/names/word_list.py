"""Make `english_words.txt` from plain texts: `python -m guardedit.memory.names.word_list TEXT...`."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from guardedit.memory.names.english import WORDS

#: A word is common if it is written small this often, and in at least this share of its places inside of
#: sentences. One that is rarer is kept if it is written small, or with a capital, this often.
OFTEN_SMALL, SHARE_SMALL, SELDOM_SMALL, SELDOM_CAPITAL = 12, 0.7, 3, 3

_WORD = re.compile(r"[^\W\d_]+")
_BEGINS = re.compile(r"(?:^|[.!?:;\"\u201c\u201d\u2018(\[_*\n-])\s*$")


def count_words(texts: Iterable[str]) -> list[str]:
    """The words of texts, sorted: common ones, rare ones with `?`, and names with a capital.

    The first word of a sentence is left out, since everyone writes it with a capital.
    """
    small, capital = Counter[str](), Counter[str]()
    for text in texts:
        for match in _WORD.finditer(text):
            word = match.group()
            if word.islower():
                small[word] += 1
            elif word.istitle() and not _BEGINS.search(text, max(0, match.start() - 4), match.start()):
                capital[word.lower()] += 1
    common, rare = set[str](), set[str]()
    for word, count in small.items():
        if len(word) > 1 and count >= SHARE_SMALL * (count + capital[word]) and count >= SELDOM_SMALL:
            (common if count >= OFTEN_SMALL else rare).add(word)
    names = {word for word, count in capital.items() if count >= SELDOM_CAPITAL and len(word) > 3}
    names -= common | rare
    return sorted([*common, *(f"{word}?" for word in rare), *(name.capitalize() for name in names)])


def main(argv: Sequence[str] | None = None) -> None:
    """Write the list of English words from plain texts."""
    parser = argparse.ArgumentParser(
        prog="python -m guardedit.memory.names.word_list", description=main.__doc__
    )
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=WORDS)
    args = parser.parse_args(argv)
    words = count_words(path.read_text(encoding="utf-8") for path in args.texts)
    args.out.write_text("\n".join(words) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
