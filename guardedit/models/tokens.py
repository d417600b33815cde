"""Texts to token ids: where the subject ends, where the answer begins, and what fits into the context.

Knows tokenizers through their offset mapping only. Knows no model and no tensor of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


def encode(tokenizer: Any, text: str, *, context: int | None = None) -> list[int]:
    """Ids as the model wants to read them: a leading BOS if the tokenizer adds one, never a trailing EOS.

    Raises:
        MalformedCorrection: when `context` is given and the text has more tokens; nothing is cut silently.
    """


def subject_last(tokenizer: Any, prompt: str, subject: str) -> int:
    """Index of the subject's last token in `encode(tokenizer, prompt)`, from the offset mapping.

    The subject's last occurrence as a whole word counts, so that texts put in front do not matter.

    Raises:
        SubjectNotFound: when the prompt does not hold the subject, or no token covers it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Prompts with their answers, padded on the right. B rows, T tokens, n answer tokens at most.

    A causal model needs no mask for right padding: no token sees what follows it.

    Attributes:
        ids: [B, T] int64.
        lengths: [B] int64, tokens that are not padding.
        answer_starts: [B] int64, index of the first answer token; the model predicts it at index - 1.
        targets: [B, T] int64; -100 everywhere but at index - 1 of each answer token, where the id of
            that answer token stands, so that `targets` and `logits` line up position by position.
    """

    ids: Tensor
    lengths: Tensor
    answer_starts: Tensor
    targets: Tensor


def batch(
    tokenizer: Any,
    prompts: Sequence[str],
    answers: Sequence[str] | None = None,
    *,
    context: int,
    device: str = "cpu",
) -> Batch:
    """Encode `prompt + " " + answer` as one text each, with answer positions from the offsets.

    The space is added when neither side has one. Without answers, `targets` is -100 everywhere and
    `answer_starts` equals `lengths`.

    Raises:
        MalformedCorrection: when a row is longer than `context` tokens, naming both numbers.
    """
