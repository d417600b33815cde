"""Whether a model says an expected answer at a place, and by how much: one forward pass, no generation.

The answer is appended to its prompt. The model says it if each of its tokens is the most likely one there.
What the model would say afterwards does not count: `Russian, and he speaks English` says `Russian`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.passes import passes
from guardedit.models.text.tokens import batch
from guardedit.models.views import logits_in_pieces


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
        said: every token of the answer is the most likely one.
        margin_nats: the smallest difference, over the answer's tokens, between the log-probability of the
            token and that of its strongest rival. Positive exactly if the answer is said.
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
            # The last token only has to be predicted: nothing is read after it.
            width = max(lengths[i] for i in group) - 1
            ids, targets = (part[group, :width].to(host.device) for part in (rows.ids, rows.targets))
            spans = _spans(host, ids, targets, [lengths[i] - 1 for i in group])
            found.update(zip((different[i] for i in group), spans, strict=True))
    return [found[one] for one in asked]


def _before(one: Expected) -> str:
    return one.prompt + one.lead if not one.lead or one.lead[0].isspace() else _joined(one.prompt, one.lead)


def _joined(prompt: str, lead: str) -> str:
    """Chat prompts end in a line break, after which no space belongs."""
    return prompt + lead if prompt[-1:].isspace() else f"{prompt} {lead}"


@torch.inference_mode()
def _spans(host: LanguageModel, ids: Tensor, targets: Tensor, lengths: Sequence[int]) -> list[Span]:
    """The span of each row; `targets` [B, T] are the answer's tokens where they are predicted, else -100."""
    predicting = targets >= 0  # [B, T]
    # The head runs only where an answer's token is predicted: it is the largest matrix of many models.
    hidden = host.final_hidden(ids, lengths)[predicting]  # [m, d]
    tokens = targets[predicting]  # [m]
    pieces = [torch.empty(0, 2)]
    for at, some in logits_in_pieces(host.model, host.layout.decoder[0], hidden):
        logits, wanted = some.float(), tokens[at][:, None]  # [k, vocabulary], [k, 1]
        chosen = logits.gather(1, wanted)[:, 0]
        logprobs = chosen - logits.logsumexp(dim=1)
        rivals = logits.scatter_(1, wanted, -torch.inf).amax(dim=1)
        pieces.append(torch.stack([chosen - rivals, logprobs], dim=1).cpu())
    scores = torch.cat(pieces)  # [m, 2]
    return [
        Span(
            said=bool((part[:, 0] > 0).all()),
            margin_nats=float(part[:, 0].min()),
            logprob_nats=float(part[:, 1].mean()),
        )
        for part in torch.split(scores, predicting.sum(dim=1).tolist())
    ]
