"""Fold a token to its comparable form: compatibility forms, case, apostrophes, hyphens, optional marks.

Accents are kept, because a different letter makes a different name.
"""

from __future__ import annotations

import unicodedata

import regex

#: Curly, modifier, prime, grave, acute, Armenian and Hebrew forms; Unicode classifies some as letters.
APOSTROPHES = "'\u2018\u2019\u201b\u02b9\u0374\u02bb\u02bc\u02bd\u2032\u0060\u00b4\u055a\u05f3\uff07\ua78c"
#: Hyphens, figure and en dash, minus, small and full-width forms, maqaf. Not the em dash, which separates
#: clauses.
HYPHENS = "-\u2010\u2011\u2012\u2013\u2212\u2043\ufe58\ufe63\uff0d\u05be\u1806"
_QUOTES = '"\u201c\u201d\u201e\u201f\u05f4\uff02\u00ab\u00bb'
#: Invisible characters: soft hyphen, non-joiner, direction marks, variation selectors.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f"
    "\ufeff\U000e0100-\U000e01ef"
)
#: The same with the zero width joiner, which `fold` keeps within emoji sequences.
IGNORED = rf"{_INVISIBLE}\u200d"
_SIGNS = str.maketrans(
    {
        **dict.fromkeys(APOSTROPHES, "'"),
        **dict.fromkeys(HYPHENS, "-"),
        **dict.fromkeys(_QUOTES, '"'),
        "\u0130": "i",  # Turkish capital I with a dot
        "\u0131": "i",  # Turkish small i without a dot, the lower case of a Turkish I
    }
)
#: Marks that writers may omit: Arabic vowel marks and tatweel, Hebrew points and accents. The Arabic madda
#: and hamza are kept, since they make a different letter. A dot over any letter except i is kept, too.
_OPTIONAL = regex.compile(
    rf"[{_INVISIBLE}\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8"
    r"\u06ea-\u06ed\u08ca-\u08e1\u08e3-\u08ff\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
    r"|(?<=i)\u0307|\u200d(?!\p{Extended_Pictographic})"
)


def fold(token: str) -> str:
    """The comparable form of a token. Idempotent.

    >>> fold("\uff39\uff2f\uff32\uff2b"), fold("\u0130ZM\u0130R"), fold("\u2019"), fold("Stra\u00dfe")
    ('york', 'izmir', "'", 'strasse')
    """
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFC", token).translate(_SIGNS))
    plain = _OPTIONAL.sub("", composed.translate(_SIGNS).casefold())
    return unicodedata.normalize("NFKC", plain)
