"""Finds the question in the tokens of a prompt, and replaces it. Needs the tokenizer only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.gateway.conversation import AskedQuestion, question_of_prompt

#: Turns that stand in no template, to find what the template writes around them.
_TURNS = ("guardedit-first", "guardedit-reply", "guardedit-second")


@dataclass(frozen=True, slots=True)
class PromptText:
    """How a tokenizer's chat template writes a user turn.

    Attributes:
        tokenizer: decodes and encodes.
        before, after: what stands before and after a user turn that the model is to answer; "" without a
            template.
    """

    tokenizer: Any
    before: str = ""
    after: str = ""

    @classmethod
    def of(cls, tokenizer: Any) -> PromptText:
        """Read the template of a tokenizer, if it has one."""
        if not getattr(tokenizer, "chat_template", None):
            return cls(tokenizer)
        first, reply, second = _TURNS
        one = [{"role": "user", "content": first}]
        more = [*one, {"role": "assistant", "content": reply}, {"role": "user", "content": second}]
        alone, whole = (
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            for turns in (one, more)
        )
        before_first = alone.partition(first)[0]
        before_second, _, after = whole.partition(reply)[2].partition(second)
        before = _common_end(before_first, before_second)
        return cls(tokenizer, before, after) if before and after.strip() else cls(tokenizer)

    def question(self, ids: Sequence[int]) -> AskedQuestion | None:
        """The question of a prompt; None where its last turn is not the user's."""
        text = self._text(ids)
        at = self._place(text)
        if at is None:
            return None
        if not self.after:
            return question_of_prompt(text[at[0] : at[1]])
        earlier = [
            part.partition(_mark_of(self.after))[0].strip() for part in text[: at[0]].split(self.before)[1:-1]
        ]
        asked = text[at[0] : at[1]]
        return AskedQuestion(asked, tuple(reversed(earlier))) if asked.strip() else None

    def with_question(self, ids: Sequence[int], asked: Callable[[str], str]) -> list[int]:
        """The tokens of the prompt with its question replaced by what `asked` makes of it."""
        text = self._text(ids)
        start, end = self._place(text) or (len(text), len(text))
        if not self.after:  # only the last line is the question
            start += text[start:end].rstrip("\n").rfind("\n") + 1
        new = asked(text[start:end])
        found: list[int] = self.tokenizer(text[:start] + new + text[end:], add_special_tokens=False)[
            "input_ids"
        ]
        return found

    def _place(self, text: str) -> tuple[int, int] | None:
        """Where the question is in the text: characters [start, end)."""
        if not self.after:
            special = next((t for t in self.tokenizer.all_special_tokens if text.startswith(t)), "")
            return len(special), len(text)
        if not text.endswith(self.after):
            return None
        end = len(text) - len(self.after)
        start = text.rfind(self.before, 0, end)
        return None if start < 0 else (start + len(self.before), end)

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        return text


def _common_end(one: str, other: str) -> str:
    """The longest end of both texts.

    >>> _common_end("Be brief.<user>", "Hello!<user>")
    '<user>'
    """
    same = 0
    while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
        same += 1
    return one[len(one) - same :]


def _mark_of(after: str) -> str:
    """The beginning of what follows a turn, enough to find its end."""
    return next(line for line in after.splitlines() if line.strip())
