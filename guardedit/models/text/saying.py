"""Whether a model would give just this answer: one forward pass over prompt and answer, no loop.

Consistent with `ModelHost.complete`: the answer must be said token by token, and then end.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Any, Protocol

import torch

from guardedit.models.layouts.layout import Layout
from guardedit.models.text.drafts import Draft, Reading, draft_of, follow
from guardedit.models.text.room import memory_errors

Asked = tuple[str, str]


class Speaker(Protocol):
    """What is needed of a host."""

    model: Any
    tokenizer: Any
    layout: Layout
    context: int
    batch_rows: int
    lock: RLock

    @property
    def device(self) -> torch.device:
        """Where the model lives."""

    def complete(self, prompts: Sequence[str], *, max_new_tokens: int = 12) -> list[str]:
        """Greedy answers."""


def says(host: Speaker, asked: Sequence[Asked], *, max_new_tokens: int) -> list[bool]:
    """For each (prompt, answer) whether `complete` would give just this answer.

    Generates only where one pass cannot tell: where the model begins the answer in other tokens than the
    tokenizer has for it, or where those of the prompt end inside the answer.

    Raises:
        MalformedCorrection, GuardError: as `complete`.
    """
    different = list(dict.fromkeys(asked))
    found: dict[Asked, bool] = {}
    for pair, reading in _followed(host, different, max_new_tokens).items():
        if reading.answer is not None or not reading.may_become(pair[1]):
            found[pair] = reading.answer == pair[1]
    rest = [pair for pair in different if pair not in found]
    said = host.complete([prompt for prompt, _ in rest], max_new_tokens=max_new_tokens)
    found |= {pair: text == pair[1] for pair, text in zip(rest, said, strict=True)}
    return [found[pair] for pair in asked]


def _followed(host: Speaker, asked: Sequence[Asked], max_new_tokens: int) -> dict[Asked, Reading]:
    """How far the model follows each answer; without those that no draft can be made of."""
    drafts = {}
    for prompt, answer in asked:
        draft = draft_of(host.tokenizer, prompt, answer)
        # What is too long is said by `complete`.
        if draft is not None and len(draft.prompt) + max_new_tokens <= host.context:
            drafts[prompt, answer] = draft._replace(answer=draft.answer[:max_new_tokens])
    return dict(zip(drafts, followed(host, list(drafts.values()), max_new_tokens), strict=True))


def followed(host: Speaker, drafts: Sequence[Draft], max_new_tokens: int) -> list[Reading]:
    """`drafts.follow` on a host."""
    with memory_errors(host.batch_rows):
        return follow(
            host.model,
            host.tokenizer,
            drafts,
            decoder=host.layout.decoder[0],
            max_new_tokens=max_new_tokens,
            batch_rows=host.batch_rows,
            device=host.device,
        )
