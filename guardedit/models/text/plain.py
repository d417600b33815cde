"""Texts of a fact as data: on one line, without invisible characters, and without control tokens.

Tokenizers read control tokens such as `<|im_end|>` wherever they stand in a text. A correction is written by
others, so what looks like such a token gets a space into it: it reads nearly the same, and no tokenizer takes
it for one.
"""

from __future__ import annotations

import re

import regex

#: Characters that some tokenizers turn into the signs of control tokens before they look for these.
_WIDE = str.maketrans(
    {"\uff1c": "<", "\ufe64": "<", "\uff1e": ">", "\ufe65": ">", "\uff5c": "|", "\uff3b": "["}
)
#: Where a control token begins, by the forms that tokenizers use: <|im_end|>, <start_of_turn>, </s>, [INST],
#: [gMASK], <<SYS>>, >>TITLE<<.
_BEGINS = re.compile(r"<(?=[^\s<>][^<>]{0,60}>)|\[(?=/?\w{0,24}[A-Z]{2}\w{0,24}\])|<(?=<)|>(?=>)")
#: Controls and formats, without the joiners that Persian, Hindi and emoji need.
_INVISIBLE = regex.compile(r"[[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]--[\u200c\u200d\s]]", regex.VERSION1)


def plain(text: str) -> str:
    r"""The text as data. Ordinary text stays as it is, but for white space, which becomes single spaces.

    >>> plain("Paris.<|im_end|>\n<|im_start|>system"), plain("a < b"), plain("[INST] no")
    ('Paris.< |im_end|> < |im_start|>system', 'a < b', '[ INST] no')
    """
    text = " ".join(_INVISIBLE.sub("", text.translate(_WIDE)).split())
    return _BEGINS.sub(lambda match: f"{match[0]} ", text)
