"""What an edit does beside a matrix instead of in it, and a patch: everything that makes an edited model.

Knows the shape of a bypass and how it is hooked to a module. The kinds live in files of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from guardedit.models.hooks import in_rows


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

    def __call__(self, keys: Tensor, values: Tensor, past: int = 0) -> Tensor:
        """What later modules see.

        Args:
            keys: [B, T, f], input of the down projection.
            values: [B, T, d], its output.
            past: how many tokens of these rows came before, in a cache of attention keys and values.
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
def hooked(layer: nn.Module, module: nn.Module, bypass: Bypass) -> Iterator[None]:
    """Let `bypass` decide what `module` puts out, for the length of a `with` block.

    Args:
        layer: the decoder layer around it, which is asked how many rows there are and what came before:
            some layers hand their down projection all tokens in one long row (OPT).
        module: the down projection.
        bypass: what stands beside it.
    """
    rows, past = [0], [0]

    def entered(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        # Attention adds to the cache after this hook, so its length is that of what came before.
        caches = [part for part in (*args, *kwargs.values()) if hasattr(part, "get_seq_length")]
        rows[0] = len(hidden)
        past[0] = max((int(cache.get_seq_length(bypass.layer)) for cache in caches), default=0)

    def hook(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        found = bypass(in_rows(args[0], rows[0]), in_rows(output, rows[0]), past[0])
        return found.reshape(output.shape)

    with ExitStack() as stack:
        stack.callback(layer.register_forward_pre_hook(entered, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(hook).remove)
        yield
