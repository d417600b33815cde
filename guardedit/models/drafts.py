"""Answers read off one forward pass: a draft stands behind its prompt and is compared with what is said.

Where the model's most likely token is the draft's at every place, that is what greedy generation writes
(Leviathan et al. 2023, arXiv:2211.17192, with texts for drafts). Knows tokens; knows no host and no facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from guardedit.models.generation import read_on
from guardedit.models.tokens import encode, join, pad


class Draft(NamedTuple):
    """Tokens of a prompt, and those of an answer with the full stop that ends it."""

    prompt: list[int]
    answer: list[int]


class Reading(NamedTuple):
    """How far the model follows a draft: its answer, if that came to its end, and all it said until then."""

    answer: str | None
    text: str

    def may_become(self, answer: str) -> bool:
        """Whether going on from `text` could still end in this answer, in other tokens than the draft's."""
        said = self.text.strip().rstrip("\ufffd")  # the last character may be half there
        return answer.startswith(said) or (said.endswith(".") and answer == said[:-1].strip())


def draft_of(tokenizer: Any, prompt: str, answer: str) -> Draft | None:
    """None where the tokenizer joins the answer to the prompt, so that the prompt's tokens are others."""
    asked = prompt.rstrip(" ")
    given, row = encode(tokenizer, asked), encode(tokenizer, f"{join(asked, answer)}.")
    if not given or row[: len(given)] != given:
        return None
    return Draft(given, row[len(given) :])


@torch.inference_mode()
def follow(
    model: Any,
    tokenizer: Any,
    drafts: Sequence[Draft],
    *,
    max_new_tokens: int,
    batch_rows: int,
    device: torch.device | str = "cpu",
) -> list[Reading]:
    """Per draft how far the model follows it, in one forward pass for each `batch_rows` of them.

    Rows are padded on the right, where no earlier token sees it. Batch shapes differ from those of
    generation, so two tokens whose logits agree to the last digits may change places.

    Args:
        model: causal language model in eval mode.
        tokenizer: to read what is said.
        drafts: none longer than the model's context.
        max_new_tokens: where generation would stop.
        batch_rows: most rows in one forward pass.
        device: of the model.
    """
    order = sorted(range(len(drafts)), key=lambda i: len(drafts[i].prompt) + len(drafts[i].answer))
    readings = [Reading(None, "")] * len(drafts)
    for at in range(0, len(order), batch_rows):
        part = order[at : at + batch_rows]
        ids = pad([[*drafts[i].prompt, *drafts[i].answer] for i in part], device=device)
        said = model(input_ids=ids, use_cache=False).logits.argmax(dim=-1).tolist()  # [B][T]
        for i, tokens in zip(part, said, strict=True):
            start, end = len(drafts[i].prompt) - 1, len(drafts[i].prompt) + len(drafts[i].answer)
            readings[i] = _read(tokenizer, drafts[i].answer, tokens[start:end], max_new_tokens)
    return readings


def _read(tokenizer: Any, draft: Sequence[int], said: Sequence[int], max_new_tokens: int) -> Reading:
    """Read what the model said behind each token of the draft, while that is the draft's next one."""
    row: list[int] = []
    for n, token in enumerate(said):
        answer = read_on(tokenizer, row, token, final=n == max_new_tokens - 1)
        if answer is not None or n == len(draft) or token != draft[n]:
            text = tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            return Reading(answer, text)
    raise AssertionError("the model says something behind every token")
