"""Log probabilities of texts under a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.passes import passes
from guardedit.models.text.tokens import encode, pad
from guardedit.models.views import logits_in_pieces


def token_logprobs(host: LanguageModel, texts: Sequence[str]) -> list[list[float]]:
    """For each text, log p of tokens 2..N in nats, from a float32 log_softmax; empty for one token.

    Raises:
        MalformedCorrection: when a text is longer than the context.
        GuardError: when memory does not suffice.
    """
    rows = [encode(host.tokenizer, text, context=host.context) for text in texts]
    scores: list[list[float]] = [[] for _ in rows]
    scored = [i for i, row in enumerate(rows) if len(row) > 1]
    with host.lock, memory_errors(host.batch_rows):
        for group in passes([rows[i] for i in scored], at_most=host.batch_rows, device=host.device):
            chosen = [scored[n] for n in group]
            for i, line in zip(chosen, _logprobs(host, [rows[i] for i in chosen]), strict=True):
                scores[i] = line
    return scores


@torch.inference_mode()
def _logprobs(host: LanguageModel, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    """For each row of T tokens, log p of tokens 2..T, from float32 logits."""
    ids, lengths = pad(rows, device=host.device), [len(row) - 1 for row in rows]
    hidden = host.final_hidden(ids[:, :-1], lengths)  # [B, T-1, d]; nothing is predicted after the last token
    real = torch.arange(hidden.shape[1]) < torch.tensor(lengths)[:, None]  # [B, T-1]
    real = real.to(host.device)
    tokens = ids[:, 1:][real]  # [m]
    pieces = [torch.empty(0, device=host.device)]
    for at, logits in logits_in_pieces(host.model, host.layout.decoder[0], hidden[real]):
        exact = logits.float()  # [k, vocabulary]
        pieces.append(exact.gather(-1, tokens[at][:, None])[:, 0] - exact.logsumexp(dim=-1))
    return [part.tolist() for part in torch.split(torch.cat(pieces), lengths)]
