"""Check draft answers with one forward pass: speculative decoding with whole answers as drafts.

The draft is appended to its prompt. If the model's most likely next token is the draft's next token at every
position, greedy generation would write the draft (Leviathan et al. 2023, arXiv:2211.17192; there a small
model writes the drafts).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from guardedit.models.text.generation import Ending
from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.passes import passes
from guardedit.models.text.tokens import encode, join, pad
from guardedit.models.views import logits_in_pieces


class Draft(NamedTuple):
    """Tokens of a prompt, and tokens of an answer with the full stop that ends it."""

    prompt: list[int]
    answer: list[int]


class DraftMatch(NamedTuple):
    """How far the model agrees with a draft.

    Attributes:
        answer: the model's answer if it ends before the model departs from the draft; else None.
        text: the text that the model generates up to that point.
    """

    answer: str | None
    text: str

    def may_become(self, answer: str) -> bool:
        """Whether generation from `text` on could still give `answer`, in other tokens than the draft's."""
        text = self.text.strip().rstrip("\ufffd")  # the bytes of the last character may be incomplete
        return answer.startswith(text) or (text.endswith(".") and answer == text[:-1].strip())


def make_draft(tokenizer: Any, prompt: str, answer: str) -> Draft | None:
    """The draft; None if the tokenizer merges prompt and answer, so that the prompt's tokens change."""
    asked = prompt.rstrip(" ")
    given, row = encode(tokenizer, asked), encode(tokenizer, f"{join(asked, answer)}.")
    if not given or row[: len(given)] != given:
        return None
    return Draft(given, row[len(given) :])


@torch.inference_mode()
def match_drafts(host: LanguageModel, drafts: Sequence[Draft], ending: Ending) -> list[DraftMatch]:
    """How far the model agrees with each draft; drafts of similar length share a forward pass.

    Rows are padded on the right, where no real token attends to the padding. Batch shapes differ from those
    of generation, so two tokens whose logits are equal up to rounding may change places.

    Args:
        host: the model as it stands.
        drafts: none longer than the model's context.
        ending: where generation would end.

    Raises:
        GuardError: when memory does not suffice.
    """
    rows = [[*draft.prompt, *draft.answer] for draft in drafts]
    matches = [DraftMatch(None, "")] * len(drafts)
    with host.lock, memory_errors(host.batch_rows):
        for group in passes(rows, at_most=host.batch_rows, device=host.device):
            found = _next_tokens(host, [drafts[i] for i in group])
            for i, tokens in zip(group, found, strict=True):
                matches[i] = _match(drafts[i].answer, tokens, ending)
    return matches


def _next_tokens(host: LanguageModel, drafts: Sequence[Draft]) -> list[list[int]]:
    """For each draft, the most likely token after its prompt and after each token of its answer.

    The head runs only at these positions, because with a large vocabulary the logits of whole prompts would
    be most of the work.
    """
    rows = [[*draft.prompt, *draft.answer] for draft in drafts]
    hidden = host.final_hidden(pad(rows, device=host.device), [len(row) for row in rows])  # [B, T, d]
    needed = [hidden[n, len(d.prompt) - 1 : len(d.prompt) + len(d.answer)] for n, d in enumerate(drafts)]
    pieces = logits_in_pieces(host.model, host.layout.decoder[0], torch.cat(needed))
    likeliest = torch.cat([logits.argmax(dim=-1) for _, logits in pieces])  # [positions]
    return [part.tolist() for part in torch.split(likeliest, [len(part) for part in needed])]


def _match(draft: Sequence[int], tokens: Sequence[int], ending: Ending) -> DraftMatch:
    """Read the model's tokens until the answer ends or they differ from the draft's.

    Args:
        draft: tokens of the draft answer.
        tokens: the model's next token after the prompt and after each token of `draft`.
        ending: where generation would end.
    """
    row: list[int] = []
    for n, token in enumerate(tokens):
        answer = ending.append(row, token)
        if answer is not None or n == len(draft) or token != draft[n]:
            return DraftMatch(answer, ending.text(row))
    raise AssertionError("there is one token more than the draft has")
