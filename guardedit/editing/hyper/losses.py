"""How well a network's edits do on lessons: the new answer's loss, and how much everything else moved.

Knows rows and losses. Does not know optimisers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.hyper.gradients import answer_nats, beside_layers, changed, encode
from guardedit.editing.hyper.lessons import Lesson
from guardedit.editing.hyper.network import HyperNetwork, changes_of
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import IGNORED, batch


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalars with gradients.

    Attributes:
        edit_nats: mean loss of the new answer, over the question and its other wording.
        kept_nats: mean KL(before || after) over the tokens of the texts to keep.
        answered: share of questions and other wordings whose every answer token is the most likely one.
    """

    edit_nats: Tensor
    kept_nats: Tensor
    answered: float


def losses(
    host: ModelHost, network: HyperNetwork, lessons: Sequence[Lesson], *, learn: bool = False
) -> Losses:
    """Make each lesson's edit by itself and look at what it does; the host's lock is taken.

    Raises:
        MalformedCorrection: when a text does not fit into the context.
    """
    with host.lock:
        changes = changes_of(host, network, [lesson.request for lesson in lessons], learn=learn)
        asked = [text for lesson in lessons for text in (lesson.request.prompt, lesson.rephrased)]
        edits = encode(host, asked, [lesson.request.new for lesson in lessons for _ in range(2)])
        owner = torch.arange(len(lessons), device=host.device).repeat_interleave(2)
        with beside_layers(host, changed(changes, owner), rows=len(edits.ids)):
            logits = host.model(input_ids=edits.ids, use_cache=False).logits
        nats = answer_nats(logits, edits.targets)
        right = (logits.argmax(-1) == edits.targets) | (edits.targets == IGNORED)
        kept = batch(
            host.tokenizer,
            [text for lesson in lessons for text in lesson.kept],
            context=host.context,
            device=host.device,
        )
        owners = [n for n, lesson in enumerate(lessons) for _ in lesson.kept]
        owner = torch.tensor(owners, device=host.device)
        with beside_layers(host, changed(changes, owner), rows=len(kept.ids)):
            after = host.model(input_ids=kept.ids, use_cache=False).logits
        with torch.no_grad():
            before = host.model(input_ids=kept.ids, use_cache=False).logits
    real = torch.arange(kept.ids.shape[1], device=host.device) < kept.lengths[:, None]
    return Losses(
        edit_nats=nats.mean(),
        kept_nats=_divergence(before[real], after[real]),
        answered=float(right.all(1).float().mean()),
    )


def _divergence(before: Tensor, after: Tensor) -> Tensor:
    """Mean KL of rows of logits [n, vocabulary]."""
    p, q = before.float().log_softmax(-1), after.float().log_softmax(-1)
    found: Tensor = (p.exp() * (p - q)).sum(-1).mean()
    return found
