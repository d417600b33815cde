"""Turns generated tokens into text as they come, and ends the text at a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Tokens of the prompt that are decoded along, so that the first word has its space.
_TAIL = 4
#: Tokens after which unfinished characters are shown as they are: no character has so many bytes.
_LONGEST_CHARACTER = 8


class TextStream:
    """The text of one answer.

    Args:
        tokenizer: decodes tokens; special tokens are not shown.
        prompt: tokens before the answer.
        stop: texts that end the answer and are not part of it.
    """

    def __init__(self, tokenizer: Any, prompt: Sequence[int], stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stop = tuple(text for text in stop if text)
        self._ids = list(prompt[-_TAIL:])
        # Tokens from `_from` to `_shown` are decoded again with each new one: what a token looks like depends
        # on those before it.
        self._from, self._shown = 0, len(self._ids)
        self._held = ""  # may be the beginning of a stop string
        self.stopped = False

    def push(self, token: int) -> str:
        """Append a token; returns the text that is certain now."""
        self._ids.append(token)
        new = self._new_text()
        waits = new.endswith("\ufffd") and len(self._ids) - self._shown < _LONGEST_CHARACTER
        if not new or waits:
            return ""
        self._from, self._shown = self._shown, len(self._ids)
        return self._certain(new)

    def finish(self) -> str:
        """The text that was held back, once no token follows."""
        new, self._shown = self._new_text(), len(self._ids)
        text = self._certain(new) + ("" if self.stopped else self._held)
        self._held = ""
        return text

    def _new_text(self) -> str:
        before = self._decode(self._ids[self._from : self._shown])
        return self._decode(self._ids[self._from :])[len(before) :]

    def _certain(self, new: str) -> str:
        if self.stopped:
            return ""
        text = self._held + new
        found = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def _overlap(text: str, stop: str) -> int:
    r"""Length of the longest end of `text` that is the beginning of `stop`.

    >>> _overlap("one\nUs", "\nUser:"), _overlap("one", "\nUser:")
    (3, 0)
    """
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
