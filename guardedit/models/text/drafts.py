"""Answers read off one forward pass: a draft stands behind its prompt and is compared with what is said.

Where the model's most likely token is the draft's at every place, that is what greedy generation writes
(Leviathan et al. 2023, arXiv:2211.17192, with texts for drafts). Knows tokens; knows no host and no facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from guardedit.models.text.generation import read_on
from guardedit.models.text.tokens import encode, join, pad
from guardedit.models.views import head_logits


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
    decoder: str,
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
        decoder: path of the module that puts out the hidden states.
        max_new_tokens: where generation would stop.
        batch_rows: most rows in one forward pass.
        device: of the model.
    """
    order = sorted(range(len(drafts)), key=lambda i: len(drafts[i].prompt) + len(drafts[i].answer))
    readings = [Reading(None, "")] * len(drafts)
    for at in range(0, len(order), batch_rows):
        part = order[at : at + batch_rows]
        found = _likeliest(model, [drafts[i] for i in part], decoder=decoder, device=device)
        for i, said in zip(part, found, strict=True):
            readings[i] = _read(tokenizer, drafts[i].answer, said, max_new_tokens)
    return readings


def _likeliest(
    model: Any, drafts: Sequence[Draft], *, decoder: str, device: torch.device | str
) -> list[list[int]]:
    """Per draft the likeliest token behind its prompt and behind each token of its answer.

    Only there is the head run: logits of whole prompts would be most of the work with a large vocabulary.
    """
    ids = pad([[*draft.prompt, *draft.answer] for draft in drafts], device=device)  # [B, T]
    hidden = model.get_submodule(decoder)(input_ids=ids, use_cache=False).last_hidden_state  # [B, T, d]
    behind = [hidden[n, len(d.prompt) - 1 : len(d.prompt) + len(d.answer)] for n, d in enumerate(drafts)]
    likeliest = head_logits(model, decoder, torch.cat(behind)).argmax(dim=-1)  # [places]
    return [part.tolist() for part in torch.split(likeliest, [len(part) for part in behind])]


def _read(tokenizer: Any, draft: Sequence[int], said: Sequence[int], max_new_tokens: int) -> Reading:
    """Read what the model said behind each token of the draft, while that is the draft's next one."""
    row: list[int] = []
    for n, token in enumerate(said):
        answer = read_on(tokenizer, row, token, final=n == max_new_tokens - 1)
        if answer is not None or n == len(draft) or token != draft[n]:
            text = tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            return Reading(answer, text)
    raise AssertionError("the model says something behind every token")
