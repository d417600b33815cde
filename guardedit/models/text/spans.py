"""Whether a model says an expected answer at a place, and by how much: one forward pass, no generation.

The answer is appended to its prompt. The model says it if each of its tokens is the most likely one there,
and the next token does not go on with the same word: `Russian, and he speaks English` says `Russian`,
`Yorkshire` does not say `York`. What else the model would say afterwards does not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.passes import passes
from guardedit.models.text.tokens import batch, join
from guardedit.models.views import logits_in_pieces

#: Last tokens that are decoded to see whether a word goes on.
TAIL = 8


class Expected(NamedTuple):
    """An answer that is expected at a place.

    Attributes:
        prompt: the text that the model continues.
        answer: the expected words.
        lead: what the model says before them, such as `The capital of France is`; "" where it begins with
            the answer.
    """

    prompt: str
    answer: str
    lead: str = ""


class Span(NamedTuple):
    """How a model scores an expected answer.

    Attributes:
        said: every token of the answer is the most likely one, and the word ends there.
        margin_nats: the smallest difference, over the answer's tokens, between the log-probability of the
            token and that of its strongest rival. Positive if the answer is said.
        logprob_nats: mean log-probability of the answer's tokens.
    """

    said: bool
    margin_nats: float
    logprob_nats: float


def score_spans(host: LanguageModel, asked: Sequence[Expected]) -> list[Span]:
    """The span of each expected answer; rows of similar length share a forward pass.

    Raises:
        MalformedCorrection: when a row is longer than the context, or an answer has no token of its own.
        GuardError: when memory does not suffice.
    """
    if not asked:
        return []
    different = list(dict.fromkeys(asked))
    found: dict[Expected, Span] = {}
    rows = batch(
        host.tokenizer,
        [_before(one) for one in different],
        [one.answer for one in different],
        context=host.context,
    )
    lengths = rows.lengths.tolist()
    tokens = [row[:length] for row, length in zip(rows.ids.tolist(), lengths, strict=True)]
    with host.lock, memory_errors(host.batch_rows):
        for group in passes(tokens, at_most=host.batch_rows, device=host.device):
            width = max(lengths[i] for i in group)
            ids, targets = (part[group, :width].to(host.device) for part in (rows.ids, rows.targets))
            spans = _spans(host, ids, targets, [lengths[i] for i in group])
            found.update(zip((different[i] for i in group), spans, strict=True))
    return [found[one] for one in asked]


def _before(one: Expected) -> str:
    """The text in front of the answer. Chat prompts end in a line break, after which no space belongs."""
    return join(one.prompt, one.lead) if one.lead else one.prompt


@torch.inference_mode()
def _spans(host: LanguageModel, ids: Tensor, targets: Tensor, lengths: Sequence[int]) -> list[Span]:
    """The span of each row; `targets` [B, T] are the answer's tokens where they are predicted, else -100."""
    states = host.final_hidden(ids, lengths)  # [B, T, d]
    predicting = targets >= 0  # [B, T]
    tokens = targets[predicting]  # [m]
    pieces = [torch.empty(0, 2)]
    # The head runs only where an answer's token is predicted: it is the largest matrix of many models.
    for at, some in logits_in_pieces(host.model, host.layout.decoder[0], states[predicting]):
        logits, wanted = some.float(), tokens[at][:, None]  # [k, vocabulary], [k, 1]
        chosen = logits.gather(1, wanted)[:, 0]
        logprobs = chosen - logits.logsumexp(dim=1)
        rivals = logits.scatter_(1, wanted, -torch.inf).amax(dim=1)
        pieces.append(torch.stack([chosen - rivals, logprobs], dim=1).cpu())
    parts = torch.split(torch.cat(pieces), predicting.sum(dim=1).tolist())
    likeliest = [bool((part[:, 0] > 0).all()) for part in parts]
    ends = dict(_word_ends(host, states, ids, lengths, [n for n, hit in enumerate(likeliest) if hit]))
    return [
        Span(
            said=ends.get(n, False),
            margin_nats=float(part[:, 0].min()),
            logprob_nats=float(part[:, 1].mean()),
        )
        for n, part in enumerate(parts)
    ]


def _word_ends(
    host: LanguageModel, states: Tensor, ids: Tensor, lengths: Sequence[int], rows: Sequence[int]
) -> Iterator[tuple[int, bool]]:
    """For each of the rows, whether the model's next token begins another word, or ends the text."""
    if not rows:
        return
    last = states[list(rows), [lengths[n] - 1 for n in rows]]  # [rows, d]
    logits = logits_in_pieces(host.model, host.layout.decoder[0], last)
    likeliest = torch.cat([some.argmax(dim=-1) for _, some in logits]).tolist()
    for n, token in zip(rows, likeliest, strict=True):
        known = ids[n, max(0, lengths[n] - TAIL) : lengths[n]].tolist()
        yield n, token in host.stops or not goes_on(host.tokenizer, known, token)


def goes_on(tokenizer: Any, known: Sequence[int], token: int) -> bool:
    """Whether a token continues the word, or the number, at the end of the known ones."""
    before, after = (
        tokenizer.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for row in (list(known), [*known, token])
    )
    added, end = after[len(before) :], before[-1:]
    return added[:1].isalnum() or (end.isdigit() and added[:1] in {".", ","})
