"""The base class of KE and MEND: a network from gradients of an edit's loss to low-rank weight changes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from guardedit.editing.hyper.gradients import Gradient, LowRankChange, encode_answers, loss_gradients
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode, pad


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRequest:
    """One edit: a prompt, the model's current answer `old`, and the answer `new` that it should give."""

    prompt: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class EditCondition:
    """Token embeddings of the texts that describe E edits.

    Attributes:
        embeddings: [E, S, width of the embeddings].
        lengths: [E], tokens of each text.
    """

    embeddings: Tensor
    lengths: Tensor


class HyperNetwork(nn.Module):
    """Maps gradients of E edits to changes of the down projections of some layers.

    Attributes:
        method: name of the editing method.
        smoothing: label smoothing of the loss whose gradients are the input.
        conditioned: whether the text of the request is also an input.
        layers: the edited layers.
    """

    method: ClassVar[str]
    smoothing: ClassVar[float] = 0.0
    conditioned: ClassVar[bool] = False

    def __init__(self, layers: Sequence[int]) -> None:
        super().__init__()
        self.layers = tuple(layers)

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The sizes that were passed to the constructor, by name."""

    @abstractmethod
    def forward(
        self, gradients: Mapping[int, Gradient], condition: EditCondition | None
    ) -> dict[int, LowRankChange]:
        """Layer -> changes of E edits. No edit depends on the others."""

    def observe(self, gradients: Mapping[int, Gradient]) -> None:
        """Update running statistics with training gradients; a network without statistics does nothing."""


def last_layers(host: ModelHost, count: int = 3) -> tuple[int, ...]:
    """The layers that trained editors change (Mitchell et al. 2022, section 4): the last `count`."""
    return tuple(range(max(0, host.layers - count), host.layers))


def predict_changes(
    host: ModelHost, network: HyperNetwork, requests: Sequence[EditRequest], *, observe: bool = False
) -> dict[int, LowRankChange]:
    """Layer -> the changes that the network predicts for E requests on the model as it stands.

    Args:
        host: the model, locked by the caller.
        network: on the model's device.
        requests: E edits, independent of each other.
        observe: update the network's running statistics with these gradients first.

    Raises:
        MalformedCorrection: when a request does not fit into the context.
    """
    texts = encode_answers(host, [item.prompt for item in requests], [item.new for item in requests])
    gradients = loss_gradients(host, network.layers, texts, smoothing=network.smoothing)
    if observe:
        network.observe(gradients)
    found: dict[int, LowRankChange] = network(
        gradients, _condition(host, requests) if network.conditioned else None
    )
    return found


def _condition(host: ModelHost, requests: Sequence[EditRequest]) -> EditCondition:
    """`prompt, old answer || new answer` in the base model's embeddings (De Cao et al. 2021, 4.1)."""
    lines = [f"{item.prompt}, {item.old} || {item.new}" for item in requests]
    rows = [encode(host.tokenizer, line) for line in lines]
    embed = host.model.get_input_embeddings()
    with torch.no_grad():
        found = embed(pad(rows, device=host.device)).float()
    return EditCondition(found, torch.tensor([len(row) for row in rows]))
