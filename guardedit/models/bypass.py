"""What an edit does beside a matrix instead of in it, and a patch: everything that makes an edited model.

Knows the shape of a bypass and how it is hooked to a module. The kinds live in files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn


class Bypass(Protocol):
    """Stands beside one down projection and decides, token by token, what is put out.

    A token's output may depend on the tokens before it, never on those behind it or on other rows, so
    that cached decoding, right padding and batching change nothing.
    """

    @property
    def layer(self) -> int:
        """Decoder layer, counted from 0."""

    @property
    def sha256(self) -> str:
        """Digest of everything the output depends on."""

    def __call__(self, keys: Tensor, values: Tensor) -> Tensor:
        """What later modules see.

        Args:
            keys: [B, T, f], input of the down projection. A call with T = 1 after a longer one of as many
                rows continues those rows.
            values: [B, T, d], its output.
        """


@dataclass(frozen=True, slots=True)
class Patch:
    """An edited model as a difference to the base model.

    Attributes:
        matrices: parameter name -> stored tensor that takes its place.
        bypasses: beside the matrices, at most one of a kind for each layer.
    """

    matrices: Mapping[str, Tensor] = field(default_factory=dict)
    bypasses: Sequence[Bypass] = ()


@contextmanager
def hooked(module: nn.Module, bypass: Bypass) -> Iterator[None]:
    """Let `bypass` decide what `module` puts out, for the length of a `with` block."""

    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return bypass(args[0], output)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
