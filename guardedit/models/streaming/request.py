"""What a caller asks of the model, and what it is told while the answer is made. Knows no facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from guardedit.models.bypass import Patch

#: Why an answer ended: the model or a stop string ended it, or it has as many tokens as were asked for.
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Attributes:
        temperature: divides the logits; 0 takes the most probable token.
        top_p: tokens are drawn from the smallest set that has this share of the probability, 0 < top_p <= 1.
        seed: of the random numbers; with the same seed a row draws the same ones.
        logprobs: number of most probable tokens to report with each token; None for no report.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """The log-probability of one token, in nats, before temperature and `top_p`."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one step added to an answer.

    Attributes:
        token: the generated token; None in the last piece where no token was left to report.
        text: text that is certain now; "" while the characters or a stop string may still go on.
        logprob: of the token; None where nobody asked.
        top: the most probable tokens, best first.
        finish: why the answer ends here; None while it goes on.
    """

    token: int | None
    text: str
    logprob: TokenLogprob | None = None
    top: tuple[TokenLogprob, ...] = ()
    finish: FinishReason | None = None


#: Receives the pieces of an answer, or the error that ended it. Called in the thread of the engine.
Deliver = Callable[[Piece | BaseException], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One answer that is wanted.

    Attributes:
        ids: tokens of the prompt, at least one.
        patch: the weights that answer it, from its first to its last token.
        weights: digest of these weights; requests with the same digest share batches.
        most_tokens: most tokens of the answer, at least one.
        sampling: how its tokens are chosen.
        stop: texts that end the answer and are not part of it.
        begins: tokens with which the answer begins, whatever the model thinks of them.
        deliver: receives the pieces.
        cancelled: set it to end the answer after the step that is running; nothing more is delivered.
    """

    ids: tuple[int, ...]
    patch: Patch
    weights: str
    most_tokens: int
    deliver: Deliver
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    begins: tuple[int, ...] = ()
    cancelled: bool = False
