"""The protocol of a loaded model that scoring and generation need; `ModelHost` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Any, Protocol

import torch
from torch import Tensor

from guardedit.models.layouts.layout import Layout
from guardedit.models.text.form import Form


class LanguageModel(Protocol):
    """A loaded model as it stands, patched or not.

    Attributes:
        model: a Hugging Face causal language model in eval mode.
        tokenizer: its fast tokenizer.
        layout: where the model's parts are.
        context: longest input in tokens.
        batch_rows: most rows in one forward pass.
        lock: held while the model runs.
        form: how questions are put to it.
        stops: tokens that end its answers.
    """

    model: Any
    tokenizer: Any
    layout: Layout
    context: int
    batch_rows: int
    lock: RLock
    form: Form
    stops: frozenset[int]

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""

    @property
    def is_bypassed(self) -> bool:
        """Whether a bypass changes an output; it may look at all tokens of a row, so also at padding."""

    def final_hidden(self, ids: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Token ids [B, T], padded on the right after `lengths` -> final hidden states [B, T, d]."""

    def head_logits(self, hidden: Tensor) -> Tensor:
        """Final hidden states [m, d] -> logits [m, vocabulary]."""

    def complete(self, prompts: Sequence[str], *, max_new_tokens: int | None = None) -> list[str]:
        """Greedy answer to each prompt."""
