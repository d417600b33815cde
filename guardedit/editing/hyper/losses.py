"""The two losses for training an editor: one for the new answers, one for the change of everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.editing.hyper.gradients import answer_nats, encode_answers, output_edits, outputs_edited
from guardedit.editing.hyper.network import HyperNetwork, predict_changes
from guardedit.editing.hyper.training_data import EditSample
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import IGNORED, batch


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalars with gradients.

    Attributes:
        edit_nats: mean loss of the new answer, over the prompt and its paraphrase.
        kept_nats: mean KL(before || after) over the tokens of the texts that must not change (locality).
        answered: share of prompts and paraphrases in which every answer token is the most likely one.
    """

    edit_nats: Tensor
    kept_nats: Tensor
    answered: float


def losses(
    host: ModelHost, network: HyperNetwork, samples: Sequence[EditSample], *, observe: bool = False
) -> Losses:
    """Make the edit of each sample separately and measure it. Takes the host's lock.

    Args:
        host: the base model.
        network: on the model's device.
        samples: their edits are independent of each other.
        observe: as in `predict_changes`.

    Raises:
        MalformedCorrection: when a text does not fit into the context.
    """
    with host.lock:
        changes = predict_changes(host, network, [sample.request for sample in samples], observe=observe)
        prompts = [text for sample in samples for text in (sample.request.prompt, sample.paraphrase)]
        edits = encode_answers(host, prompts, [sample.request.new for sample in samples for _ in range(2)])
        sample_of = torch.arange(len(samples), device=host.device).repeat_interleave(2)
        with outputs_edited(host, output_edits(changes, sample_of), rows=len(edits.ids)):
            logits = host.model(input_ids=edits.ids, use_cache=False).logits
        nats = answer_nats(logits, edits.targets)
        right = (logits.argmax(-1) == edits.targets) | (edits.targets == IGNORED)
        kept = batch(
            host.tokenizer,
            [text for sample in samples for text in sample.kept],
            context=host.context,
            device=host.device,
        )
        sample_numbers = [n for n, sample in enumerate(samples) for _ in sample.kept]
        sample_of = torch.tensor(sample_numbers, device=host.device)
        with outputs_edited(host, output_edits(changes, sample_of), rows=len(kept.ids)):
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
    """Mean KL(before || after) of rows of logits [n, vocabulary], in nats."""
    p, q = before.float().log_softmax(-1), after.float().log_softmax(-1)
    found: Tensor = (p.exp() * (p - q)).sum(-1).mean()
    return found
