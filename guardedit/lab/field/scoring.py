"""Scores answers that are given to a model, token by token: one forward pass, no generation.

Does not know data sets or metrics.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.tokens import TokenBatch, batch

#: Takes the current activity, and how much of it is done.
Tell = Callable[[str, int, int], None]


class Given(NamedTuple):
    """A text that a model continues, and an answer that it is given there."""

    text: str
    answer: str


class Scored(NamedTuple):
    """How a model scores a given answer.

    Attributes:
        tokens: ids of the answer's tokens.
        likeliest: for each of them, the id that the model finds most likely there.
        logprob_nats: mean log-probability of the answer's tokens.
    """

    tokens: tuple[int, ...]
    likeliest: tuple[int, ...]
    logprob_nats: float

    @property
    def matched(self) -> float:
        """Share of the tokens that are the most likely ones."""
        hits = sum(one == other for one, other in zip(self.tokens, self.likeliest, strict=True))
        return hits / len(self.tokens)

    @property
    def said(self) -> bool:
        """Whether all tokens are the most likely ones."""
        return self.tokens == self.likeliest


def score_answers(
    host: LanguageModel, asked: Iterable[Given], *, doing: str = "scoring", tell: Tell = lambda *_: None
) -> dict[Given, Scored]:
    """The score of each different answer. Rows of similar length share a forward pass.

    Where several sets of weights are scored, layers below the lowest edit run once if the calls have the same
    `asked`, see `ModelHost.final_hidden`.

    Raises:
        MalformedCorrection: a row is longer than the context, or an answer has no token of its own.
        GuardError: memory does not suffice.
    """
    different = sorted(set(asked), key=lambda one: (len(one.text) + len(one.answer), one))
    found: dict[Given, Scored] = {}
    tell(doing, 0, len(different))
    for start in range(0, len(different), host.batch_rows):
        group = different[start : start + host.batch_rows]
        with host.lock, memory_errors(host.batch_rows):
            rows = batch(
                host.tokenizer,
                [one.text for one in group],
                [one.answer for one in group],
                context=host.context,
                device=host.device,
            )
            found |= zip(group, _scored(host, rows), strict=True)
        tell(doing, len(found), len(different))
    return found


@torch.inference_mode()
def _scored(host: LanguageModel, rows: TokenBatch) -> list[Scored]:
    predicting = rows.targets >= 0  # [B, T]
    logits = host.head_logits(host.final_hidden(rows.ids)[predicting]).float()  # [m, vocabulary]
    tokens = rows.targets[predicting]  # [m]
    logprobs = logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=1)
    sizes = predicting.sum(dim=1).tolist()
    columns = (torch.split(part.cpu(), sizes) for part in (tokens, logits.argmax(dim=1), logprobs))
    return [
        Scored(tuple(own.tolist()), tuple(best.tolist()), float(scores.mean()))
        for own, best, scores in zip(*columns, strict=True)
    ]


def paced(tell: Tell, clock: Callable[[], float] = time.monotonic) -> Tell:
    """The same, with an estimate of the time that is left in the text of each activity."""
    first: dict[str, tuple[float, int]] = {}

    def report(doing: str, done: int, total: int) -> None:
        now_s = clock()
        began_s, before = first.setdefault(doing, (now_s, done))
        left = ""
        if done > before:
            left = f", about {_minutes((now_s - began_s) / (done - before) * (total - done))} left"
        tell(doing + left, done, total)

    return report


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
