"""One loaded model with its tokenizer, layout and lock: scoring, generating, and trying other matrices.

Knows Hugging Face folders. Does not know edits: it is handed finished matrices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.models.layouts import Layout


class ModelHost:
    """A base model that is never changed for longer than a `with patched(...)` block.

    All parameters have `requires_grad` off. `lock` is held by every method that runs the model and for
    the whole of a `patched` block, so that no answer mixes two sets of weights.

    Attributes:
        model: a Hugging Face causal language model in eval mode.
        tokenizer: its fast tokenizer.
        layout: where its parts are.
        layers: number of decoder layers.
        context: longest input in tokens.
        base_sha256: digest of names, dtypes, shapes and bytes of all parameters and of the architecture.
        lock: reentrant.
    """

    model: nn.Module
    tokenizer: Any
    layout: Layout
    layers: int
    context: int
    base_sha256: str
    lock: RLock

    def __init__(self, model: nn.Module, tokenizer: Any, *, batch_rows: int = 64) -> None: ...

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        batch_rows: int = 64,
    ) -> ModelHost:
        """Load a local folder: safetensors only, no code from the folder, no network.

        Raises:
            UsageError: when the folder cannot be loaded, naming it.
            UnknownLayout: when no layout card fits.
        """

    @property
    def device(self) -> torch.device:
        """Where the model lives."""

    def mlp_out(self, layer: int) -> nn.Module:
        """The down projection of a decoder layer; UsageError when there is no such layer."""

    def decoder_layer(self, layer: int) -> nn.Module:
        """A decoder layer; UsageError when there is no such layer."""

    def base_matrix(self, layer: int) -> Tensor:
        """The base model's W of `layer`, math orientation [d, f], also inside a `patched` block."""

    def tensor_sha256(self) -> dict[str, str]:
        """Digest of each parameter as it is now."""

    @contextmanager
    def patched(self, matrices: Mapping[str, Tensor]) -> Iterator[None]:
        """Run with other matrices (parameter name to stored tensor, as `Fold.fold` gives them).

        Pointers are swapped, never bytes; the former tensors come back whatever happens. Nests.
        """

    def token_logprobs(self, texts: Sequence[str]) -> list[list[float]]:
        """Per text log p of tokens 2..N in nats, from a float32 log_softmax; empty for one token.

        Raises:
            MalformedCorrection: when a text is longer than the context.
        """

    def complete(self, prompts: Sequence[str], *, max_new_tokens: int = 12) -> list[str]:
        """Greedy answer to each prompt, up to the end of the answer (`generation.answer_end`), without it.

        Equal to asking one prompt at a time.

        Raises:
            MalformedCorrection: when a prompt and its answer do not fit into the context.
        """
