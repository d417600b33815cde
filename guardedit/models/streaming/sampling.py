"""Chooses the next token of a row from its logits."""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.models.streaming.request import Sampling, TokenLogprob

#: A lower temperature counts as 0: the logits divided by it would overflow.
_COLDEST = 1e-4


class Sampler:
    """Chooses the tokens of one row.

    Random numbers come from a generator of the row's own, so that an answer does not depend on its neighbours
    in the batch, except by rounding of the logits.
    """

    def __init__(self, settings: Sampling) -> None:
        self.settings = settings
        self._random = torch.Generator().manual_seed(settings.seed)

    def choose(self, logits: Tensor, best: int) -> int:
        """A token for logits [V], whose most probable one is `best`."""
        if self.settings.temperature < _COLDEST:
            return best
        return self._draw(logits.float().cpu())

    def _draw(self, logits: Tensor) -> int:
        """By temperature and `top_p` (nucleus sampling, arXiv:1904.09751)."""
        p = (logits / self.settings.temperature).softmax(-1)
        if self.settings.top_p < 1.0:
            p, token = p.sort(descending=True)
            dropped = p.cumsum(-1) - p >= self.settings.top_p  # those ahead have the share already
            dropped[0] = False
            p[dropped] = 0.0
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
