"""What trained editors have in common: a network from the gradient of an edit's loss to changes of matrices.

Knows the frame, and how a request becomes a change. The networks live in files of their own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from guardedit.editing.hyper.gradients import Change, Gradient, encode, loss_gradients
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode as token_ids
from guardedit.models.text.tokens import pad


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One edit: a question, what the model says now, and what it shall say."""

    prompt: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Condition:
    """Token embeddings of the texts that describe E edits: `embeddings` [E, S, d], `lengths` [E]."""

    embeddings: Tensor
    lengths: Tensor


class HyperNetwork(nn.Module):
    """Gradients of E edits to changes, for the down projections of some layers of one model.

    Attributes:
        method: name of the editing method.
        smoothing: label smoothing of the loss whose gradient it reads.
        conditioned: it reads the request's text besides.
        layers: which layers it edits.
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
        """What the constructor was given besides the layers."""

    @abstractmethod
    def forward(self, gradients: Mapping[int, Gradient], condition: Condition | None) -> dict[int, Change]:
        """By layer, the changes of E edits; each as it would be alone."""

    def observe(self, gradients: Mapping[int, Gradient]) -> None:
        """Look at gradients of training, for statistics; nothing by default."""


def last_layers(host: ModelHost, count: int = 3) -> tuple[int, ...]:
    """The layers that trained editors change (Mitchell et al. 2022, section 4): the last `count`."""
    return tuple(range(max(0, host.layers - count), host.layers))


def changes_of(
    host: ModelHost, network: HyperNetwork, requests: Sequence[Request], *, learn: bool = False
) -> dict[int, Change]:
    """What the network makes of some requests on the model as it stands (locked by the caller).

    Args:
        host: the model.
        network: on the model's device.
        requests: E edits, each by itself.
        learn: let the network observe the gradients first.

    Raises:
        MalformedCorrection: when a request does not fit into the context.
    """
    texts = encode(host, [item.prompt for item in requests], [item.new for item in requests])
    gradients = loss_gradients(host, network.layers, texts, smoothing=network.smoothing)
    if learn:
        network.observe(gradients)
    found: dict[int, Change] = network(gradients, _condition(host, requests) if network.conditioned else None)
    return found


def _condition(host: ModelHost, requests: Sequence[Request]) -> Condition:
    """`question, old answer || new answer` in the base model's embeddings (De Cao et al. 2021, 4.1)."""
    lines = [f"{item.prompt}, {item.old} || {item.new}" for item in requests]
    rows = [token_ids(host.tokenizer, line) for line in lines]
    embed = host.model.get_input_embeddings()
    with torch.no_grad():
        found = embed(pad(rows, device=host.device)).float()
    return Condition(found, torch.tensor([len(row) for row in rows]))
