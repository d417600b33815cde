"""Which texts can be asked."""

from __future__ import annotations

from guardedit.core.errors import MalformedCorrection


def refuse_unusable(question: object) -> None:
    """MalformedCorrection unless the question is text that a tokenizer takes."""
    if not isinstance(question, str):
        raise MalformedCorrection(f"a question is a text, got {type(question).__name__}")
    if not question.isascii():
        try:
            question.encode()
        except UnicodeEncodeError as error:
            raise MalformedCorrection(
                f"the question is not valid Unicode at character {error.start}: remove it"
            ) from None
