"""How a text is written, and whether a name in it goes on: "Facebook Marketplace" is not Facebook.

Where people write capitals, capitals say which words belong to a name. Where they write all small, all
capitals or every word with a capital, only the words do: the words of grammar and common words end a name.
"""

from __future__ import annotations

from enum import StrEnum

from guardedit.memory.names.english import FUNCTION_WORDS, OFFICES, is_common
from guardedit.naming import Token, tokens
from guardedit.naming.mentions import BEGINS_NAMES, is_attached
from guardedit.naming.variants import LEGAL_FORMS, PARTICLES, TITLES, Reduced, reduced_row

_ENDS = frozenset(".!?:;\u2026\u3002\uff01\uff1f")
_QUOTES = frozenset("\"'([{\u201c\u201e\u00ab*_-\u2013\u2014")
_AUXILIARIES = frozenset(
    {
        "am", "are", "can", "could", "did", "didnt", "do", "does", "doesnt", "had", "has", "have", "is",
        "isnt", "may", "might", "s", "shall", "should", "was", "wasnt", "were", "will", "would",
    }
)  # fmt: skip
_PREPOSITIONS = frozenset({"of", "for", "by", "in", "from", "at", "to", "with", "about", "on", "behind"})
#: Verbs of questions that do not end in -s or -ed.
_VERBS = frozenset({"bought", "built", "held", "led", "made", "own", "ran", "run", "sang", "sold", "wrote"})
_ASKING = frozenset({"who", "what", "which", "that", "whose", "company", "person"})
#: Words that people put behind the name in a question.
_BEHIND = frozenset(
    {
        "actually", "again", "anyway", "anymore", "born", "called", "come", "currently", "die", "exactly",
        "first", "founded", "from", "live", "located", "made", "mainly", "mostly", "nowadays", "now",
        "officially", "originally", "please", "pls", "really", "right", "start", "still", "thanks", "though",
        "today", "usually", "work",
    }
)  # fmt: skip
#: Verbs that begin a request.
_IMPERATIVES = frozenset({"describe", "find", "give", "list", "name", "say", "show", "state", "tell"})


class Style(StrEnum):
    """What the capitals of a text say about names.

    MIXED: names have capitals. LOWER: nothing has, except the first word. UPPER: everything has. TITLE: every
    word of some length begins with one.
    """

    MIXED = "mixed"
    LOWER = "lower"
    UPPER = "upper"
    TITLE = "title"


class AskedText:
    """A text with its tokens.

    Attributes:
        text: as given.
        row: its tokens.
        reduced: the tokens without signs and accents, each with its place in `row`.
        style: what its capitals say.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.row = tokens(text)
        self.reduced: list[Reduced] = reduced_row(self.row)
        self.style = self._style()

    def is_capital(self, at: int) -> bool:
        """Whether a token begins with a capital."""
        return self.text[self.row[at].start].isupper()

    def is_capital_inside(self, at: int) -> bool:
        """Whether a token has a capital that says that it belongs to a name."""
        return self.style is Style.MIXED and self.is_capital(at) and not self.begins_sentence(at)

    def is_lower(self, first: int, last: int) -> bool:
        """Whether tokens [first, last) have no capital."""
        return not any(map(str.isupper, self.text[self.row[first].start : self.row[last - 1].end]))

    def begins_sentence(self, at: int) -> bool:
        """Whether a token is the first of a sentence, a quotation or a line."""
        if at == 0 or "\n" in self.text[self.row[at - 1].end : self.row[at].start]:
            return True
        before = self.row[at - 1].text
        if before in _QUOTES:
            return at == 1 or self.row[at - 2].end < self.row[at - 1].start
        is_initial = before == "." and at > 1 and len(self.row[at - 2].text) <= 2
        return before in _ENDS and not is_initial

    def before(self, first: int) -> Token | None:
        """The word before a token with nothing but spaces between."""
        return self._beside(first - 1, first) if first else None

    def after(self, last: int) -> Token | None:
        """The word behind token `last - 1` with nothing but spaces between."""
        return self._beside(last, last - 1) if last < len(self.row) else None

    def is_part(self, first: int, last: int) -> bool:
        """Whether tokens [first, last) are probably part of a longer name."""
        return (
            is_attached(self.text, self.row, first, last)
            or self._goes_on_before(first)
            or self._goes_on_after(first, last)
        )

    def is_ordinary(self, first: int, last: int) -> bool:
        """Whether tokens [first, last) are probably common words here: "a titanic struggle"."""
        lower = self.is_lower(first, last)
        if lower and self._qualifies(first, last):
            return True
        if self.style is Style.MIXED and not lower:
            grammar = all(self.row[at].text in FUNCTION_WORDS for at in range(first, last))
            return grammar and not self.is_capital_inside(first)
        return all(is_common(self.row[at].text) for at in range(first, last))

    def is_another_person(self, first: int, last: int, given: str) -> bool:
        """Whether the words beside a family name say that it is somebody else's, whose name is not `given`.

        "Zachary Taylor", "B. Einstein", "477 Italia", "Noah's Ark", and "Martin de Porres" for somebody with
        the family name Martin.
        """
        if first > 1 and self.row[first - 1].text == "." and len(self.row[first - 2].text) == 1:
            return self.row[first - 2].text != given[:1]
        return self._begins_name(last) or self._follows_given_name(first)

    def _begins_name(self, last: int) -> bool:
        if [token.text for token in self.row[last : last + 2]] == ["'", "s"]:
            return self.style is Style.MIXED and self._is_name(last + 2)
        word = self.after(last)
        return word is not None and word.text in PARTICLES and self._is_name(last + 1)

    def _follows_given_name(self, first: int) -> bool:
        word = self.before(first)
        if word is None or word.text in TITLES or word.text in FUNCTION_WORDS or word.text in _IMPERATIVES:
            return False
        if word.text[0].isdigit():
            return not self._is_year(first - 1)
        if self.style is Style.MIXED:
            return self.is_capital(first - 1)
        return not is_common(word.text)

    def _is_year(self, at: int) -> bool:
        """Whether a number is no part of the name behind it: "In 1921 Einstein won"."""
        return self.row[at].text.isdigit() and at > 0 and self.row[at - 1].text in _PREPOSITIONS

    def _is_name(self, at: int) -> bool:
        return at < len(self.row) and (self.style is Style.LOWER or self.is_capital(at))

    def _style(self) -> Style:
        words = [at for at, token in enumerate(self.row) if token.text[0].isalpha() and token.text != "i"]
        if self.text.isupper():
            return Style.UPPER
        inner = [at for at in words if not self.begins_sentence(at)]
        capitals = [at for at in inner if self.is_capital(at)]
        if not capitals:
            return Style.LOWER
        long = [at for at in words if self.row[at].end - self.row[at].start > 3]
        titled = all(map(self.is_capital, long)) and any(is_common(self.row[at].text) for at in capitals)
        return Style.TITLE if titled and len(long) > 2 else Style.MIXED

    def _beside(self, at: int, inside: int) -> Token | None:
        left, right = self.row[min(at, inside)], self.row[max(at, inside)]
        gap = self.text[left.end : right.start]
        return self.row[at] if gap.isspace() and "\n" not in gap and self.row[at].text[0].isalnum() else None

    def _goes_on_before(self, first: int) -> bool:
        word = self.before(first)
        if word is None:
            return False
        at = first - 1
        if self.style is not Style.MIXED:
            return word.text in BEGINS_NAMES and word.text not in TITLES
        if word.text == "of" and self.before(at) is not None:
            at -= 1
            if self.row[at].text in OFFICES:
                return False
        starts = self.text[self.row[at].start]
        if self._is_year(at):
            return False
        if not (starts.isupper() or starts.isdigit()) or self.row[at].text in TITLES - BEGINS_NAMES:
            return False
        return self.row[at].text in BEGINS_NAMES or not self.begins_sentence(at)

    def _goes_on_after(self, first: int, last: int) -> bool:
        word = self.after(last)
        if word is None:
            return self._is_place(first, last)
        if word.text in LEGAL_FORMS or word.text in _BEHIND:
            return False
        if word.text[0].isdigit():
            return True
        before = self.before(first)
        if self.style is Style.MIXED and self.is_capital(last):
            # "Is Mozart Austrian?"
            asks = before is not None and before.text in _AUXILIARIES and self.begins_sentence(first - 1)
            return not (asks and self._ends_clause(last + 1))
        if word.text in FUNCTION_WORDS or word.text.endswith(("ed", "ing", "ly")):
            return False
        return self._goes_on_small(word, before, first, last)

    def _goes_on_small(self, word: Token, before: Token | None, first: int, last: int) -> bool:
        """Whether a word without the evidence of a capital goes on the name before it."""
        if self.style is not Style.MIXED and not is_common(word.text):
            return before is None or before.text not in _AUXILIARIES or not self._ends_clause(last + 1)
        return before is not None and self._governs(before, first - 1)

    def _is_place(self, first: int, last: int) -> bool:
        """Whether the place of the name is said behind a comma: "the mayor of Paris, Texas"."""
        row, before = self.row, self.before(first)
        return (
            before is not None
            and before.text in _PREPOSITIONS
            and last + 1 < len(row)
            and row[last].text == ","
            and self.is_capital_inside(last + 1)
            and self._ends_clause(last + 2)
        )

    def _governs(self, word: Token, at: int) -> bool:
        """Whether a name must end before the noun behind it: it follows a preposition or a verb."""
        if word.text in _PREPOSITIONS:
            return True
        verb = word.text in _VERBS or (word.text.endswith(("s", "ed")) and is_common(word.text))
        return verb and word.text not in FUNCTION_WORDS and at > 0 and self.row[at - 1].text in _ASKING

    def _ends_clause(self, at: int) -> bool:
        return at >= len(self.row) or not self.row[at].text[0].isalnum() or self.row[at].text in {"or", "and"}

    def _qualifies(self, first: int, last: int) -> bool:
        """Whether the words stand between an article and a noun: "a titanic struggle"."""
        before, behind = self.before(first), self.after(last)
        return (
            before is not None
            and behind is not None
            and before.text in {"a", "an"}
            and behind.text not in FUNCTION_WORDS
        )
