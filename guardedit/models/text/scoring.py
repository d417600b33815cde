"""Log probabilities of texts under a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.tokens import encode, pad


def token_logprobs(host: LanguageModel, texts: Sequence[str]) -> list[list[float]]:
    """For each text, log p of tokens 2..N in nats, from a float32 log_softmax; empty for one token.

    Raises:
        MalformedCorrection: when a text is longer than the context.
        GuardError: when memory does not suffice.
    """
    rows = [encode(host.tokenizer, text, context=host.context) for text in texts]
    scores: list[list[float]] = [[] for _ in rows]
    order = sorted((i for i, row in enumerate(rows) if len(row) > 1), key=lambda i: (len(rows[i]), i))
    with host.lock, memory_errors(host.batch_rows):
        for start in range(0, len(order), host.batch_rows):
            group = order[start : start + host.batch_rows]
            found = _logprobs(host, pad([rows[i] for i in group], device=host.device))
            for i, line in zip(group, found.tolist(), strict=True):
                scores[i] = line[: len(rows[i]) - 1]
    return scores


@torch.inference_mode()
def _logprobs(host: LanguageModel, ids: Tensor) -> Tensor:
    """Token ids [B, T] -> log p of tokens 2..T [B, T-1], float32."""
    hidden = host.final_hidden(ids)[:, :-1]  # [B, T-1, d]
    logits = host.head_logits(hidden.flatten(0, 1)).float().view(*hidden.shape[:2], -1)
    chosen = logits.gather(-1, ids[:, 1:, None])[..., 0]
    scores: Tensor = chosen - logits.logsumexp(dim=-1)
    return scores
