"""Greedy answers: where an answer ends, and which prompts are answered together (`decoding` has the loop)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from guardedit.core.errors import MalformedCorrection
from guardedit.models.text.decoding import can_pad, greedy, loops
from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.tokens import begun, encode
from guardedit.naming import answer_end


@dataclass(frozen=True, slots=True)
class Ending:
    """Where a generated answer ends.

    Attributes:
        tokenizer: decodes what was generated; special tokens are not shown.
        stops: tokens that end it.
        max_new_tokens: most tokens that are generated.
        cut: it also ends with its first sentence, at `answer_end`.
    """

    tokenizer: Any
    stops: frozenset[int]
    max_new_tokens: int
    cut: bool = True

    @classmethod
    def of(cls, host: LanguageModel, max_new_tokens: int | None = None, *, cut: bool = True) -> Ending:
        """The ending of a host's answers; without a number of tokens, as many as its form usually takes."""
        usual = host.form.answer_tokens
        tokens = usual if max_new_tokens is None else max_new_tokens
        return cls(host.tokenizer, host.stops, tokens, cut)

    def append(self, row: list[int], token: int) -> str | None:
        """Append a generated token to its row; returns the answer once it is complete, else None.

        Args:
            row: tokens generated so far; changed in place. A stop token is not appended.
            token: the next one.
        """
        if token not in self.stops:
            row.append(token)
        final = token in self.stops or len(row) >= self.max_new_tokens
        if not (final or self.cut):
            return None
        text = self.text(row)
        end = answer_end(text, final=final) if self.cut else len(text)
        return None if end is None else text[:end].strip()

    def text(self, row: Sequence[int]) -> str:
        """The text of generated tokens."""
        found: str = self.tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return found


def complete(
    host: LanguageModel, prompts: Sequence[str], ending: Ending, beginnings: Sequence[str] = ()
) -> list[str]:
    """Greedy answer to each prompt, up to its ending, without the sign that ends it.

    Prompts of similar lengths share a batch, see `decoding.loops`; those of equal length only, where the
    model cannot be told of padding or a bypass would read it. An answer depends on the other prompts by
    rounding at most. Each different prompt is answered once. Spaces at the end of a prompt are removed, since
    tokenizers make a space part of the next word.

    Args:
        host: the model as it stands.
        prompts: the texts to continue.
        ending: where the answers end; the tokens of beginnings are not counted.
        beginnings: what each answer begins with, "" for nothing; default: nothing. A beginning that the
            tokenizer would merge with its prompt is left to the model.

    Raises:
        MalformedCorrection: when a prompt is empty, or does not fit into the context with its answer.
        GuardError: when memory does not suffice.
    """
    asked = list(zip(prompts, beginnings or [""] * len(prompts), strict=True))
    first = {pair: tuple(begun(host.tokenizer, *pair)) if pair[1] else () for pair in asked}
    answers: dict[tuple[str, str], str] = {}
    for length in sorted({len(tokens) for tokens in first.values()}):
        some = {pair: tokens for pair, tokens in first.items() if len(tokens) == length}
        longer = replace(ending, max_new_tokens=ending.max_new_tokens + length)
        answers.update(zip(some, _complete(host, some, longer), strict=True))
    return [_whole_word(pair[1], answers[pair]) for pair in asked]


def _complete(
    host: LanguageModel, asked: Mapping[tuple[str, str], tuple[int, ...]], ending: Ending
) -> list[str]:
    """The answers to (prompt, beginning), given the tokens of the beginnings, which count as generated."""
    rows = [
        encode(host.tokenizer, prompt.rstrip(" "), context=host.context, answer=ending.max_new_tokens)
        for prompt, _ in asked
    ]
    if [] in rows:
        raise MalformedCorrection("a prompt is empty: give it at least one word")
    made = list(asked.values())
    rows = [[*row, *tokens] for row, tokens in zip(rows, made, strict=True)]
    answers = [""] * len(rows)
    with host.lock, memory_errors(host.batch_rows):
        padded = can_pad(host.model) and not host.is_bypassed
        for group in loops(rows, at_most=host.batch_rows, padded=padded):
            texts = greedy(
                host.model,
                [rows[i] for i in group],
                ending.append,
                most=ending.max_new_tokens,
                device=host.device,
                plain=host.is_bypassed,
                made=[made[i] for i in group],
            )
            for i, text in zip(group, texts, strict=True):
                answers[i] = text
    return answers


def _whole_word(beginning: str, answer: str) -> str:
    """The answer, or its beginning alone where the last word of that goes on: "Oslo" is no "Oslovia".

    >>> _whole_word("Oslo", "Oslovia is"), _whole_word("Oslo", "Oslo is"), _whole_word("", "Oslovia")
    ('Oslo', 'Oslo is', 'Oslovia')
    """
    goes_on = beginning and answer.startswith(beginning) and answer[len(beginning) :][:1].isalnum()
    return beginning if goes_on else answer
