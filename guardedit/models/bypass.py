"""Bypasses, which change the output of a down projection instead of its matrix, and patches.

A patch is everything that turns the base model into an edited one. The kinds of bypass are in
`weights/bypasses`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from guardedit.models.hooks import in_rows


class Bypass(Protocol):
    """Changes the output of one down projection, token by token.

    A token's output may depend on earlier tokens of its row, but never on later ones or on other rows. So it
    is the same with cached decoding, right padding and batching.
    """

    @property
    def layer(self) -> int:
        """Decoder layer, counted from 0."""

    @property
    def sha256(self) -> str:
        """Digest of everything the output depends on."""

    def __call__(self, keys: Tensor, values: Tensor, past: int = 0) -> Tensor:
        """The output that later modules see, [B, T, d].

        Args:
            keys: [B, T, f], input of the down projection.
            values: [B, T, d], its output.
            past: number of earlier tokens of these rows in the cache of attention keys and values.
        """


@dataclass(frozen=True, slots=True)
class Patch:
    """An edited model as a difference to the base model.

    Attributes:
        matrices: parameter name -> stored tensor that takes its place.
        bypasses: at most one of each kind for each layer.
    """

    matrices: Mapping[str, Tensor] = field(default_factory=dict)
    bypasses: Sequence[Bypass] = ()

    @property
    def empty(self) -> bool:
        """Whether the edited model is the base model."""
        return not self.matrices and not self.bypasses


@contextmanager
def attached(layer: nn.Module, module: nn.Module, bypass: Bypass) -> Iterator[None]:
    """Let `bypass` replace the output of `module` for the length of a `with` block.

    Args:
        layer: the decoder layer around `module`. Its arguments give the number of rows and of cached tokens:
            some layers pass all tokens to their down projection in one long row (OPT).
        module: the down projection.
        bypass: called with the module's input and output.
    """
    rows, past = [0], [0]

    def before_layer(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        # Attention adds to the cache after this hook, so its length is the number of earlier tokens.
        caches = [part for part in (*args, *kwargs.values()) if hasattr(part, "get_seq_length")]
        rows[0] = len(hidden)
        past[0] = max((int(cache.get_seq_length(bypass.layer)) for cache in caches), default=0)

    def after_module(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        found = bypass(in_rows(args[0], rows[0]), in_rows(output, rows[0]), past[0])
        return found.reshape(output.shape)

    with ExitStack() as stack:
        stack.callback(layer.register_forward_pre_hook(before_layer, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(after_module).remove)
        yield
