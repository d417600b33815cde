"""Chooses the next token of each row of a batch from its logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guardedit.models.streaming.request import Sampling, TokenLogprob


class Sampler:
    """Chooses the tokens of one row.

    Random numbers come from a generator of the row's own, so that an answer does not depend on its neighbours
    in the batch, except by rounding of the logits.
    """

    def __init__(self, settings: Sampling) -> None:
        self.settings = settings
        self._random = torch.Generator().manual_seed(settings.seed)

    def draw(self, logits: Tensor) -> int:
        """A token for logits [V] float32, by temperature and `top_p` (nucleus sampling, arXiv:1904.09751)."""
        p = (logits / self.settings.temperature).softmax(-1)
        if self.settings.top_p < 1.0:
            p, token = p.sort(descending=True)
            before = p.cumsum(-1) - p  # probability of the tokens ahead of each
            p[before >= self.settings.top_p] = 0.0  # the first one always stays
            return int(token[torch.multinomial(p, 1, generator=self._random)])
        return int(torch.multinomial(p, 1, generator=self._random))

    def report(self, logits: Tensor, token: int) -> tuple[TokenLogprob | None, tuple[TokenLogprob, ...]]:
        """Log-probability of the chosen token and of the most probable ones, where they are asked for."""
        count = self.settings.logprobs
        if count is None:
            return None, ()
        logp = logits.log_softmax(-1)
        best = logp.topk(min(count, len(logp))) if count else None
        top = zip(best.indices.tolist(), best.values.tolist(), strict=True) if best else ()
        return TokenLogprob(token, float(logp[token])), tuple(TokenLogprob(*one) for one in top)


def next_tokens(logits: Tensor, samplers: Sequence[Sampler]) -> list[int]:
    """The next token of each row, for logits [B, V]; rows with temperature 0 are chosen in one call."""
    chosen: list[int] = logits.argmax(-1).tolist()
    for row, sampler in enumerate(samplers):
        if sampler.settings.temperature > 0:
            chosen[row] = sampler.draw(logits[row].float().cpu())
    return chosen
