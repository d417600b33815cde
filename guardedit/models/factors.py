"""The factored form of one weight edit, and its payload: the bytes that ledger and loop carry about.

Knows safetensors. Does not know any model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from guardedit.core.errors import EditError

Kind = Literal["ridge", "direct"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """One edit of the down projection W [d, f] of one layer, as float32 on the CPU.

    `ridge`: `right` holds keys k [f, n], `left` the residuals r = v* - W0 k [d, n] they shall get,
    against the base model. What is written is solved jointly with all other live edits (methods: MEMIT
    with history). `direct`: the change is `left @ right.T`, added as it is.

    Attributes:
        layer: decoder layer, counted from 0.
        kind: `ridge` or `direct`.
        left: [d, n].
        right: [f, n].
        key: [f, m], for inspection: where the change is meant to act. Of `ridge` edits it is `right`;
            None for a `direct` edit that names none.
    """

    layer: int
    kind: Kind
    left: Tensor
    right: Tensor
    key: Tensor | None = None

    @staticmethod
    def ridge(*, layer: int, key: Tensor, residual: Tensor) -> Factors:
        """An edit that wants W k = W0 k + r. `key` [f] or [f, n], `residual` [d] or [d, n]."""
        keys = _columns(key)
        return _checked(Factors(layer=layer, kind="ridge", left=_columns(residual), right=keys, key=keys))

    @staticmethod
    def direct(*, layer: int, left: Tensor, right: Tensor, key: Tensor | None = None) -> Factors:
        """An edit W0 + left right^T. `left` [d] or [d, n], `right` [f] or [f, n], `key` [f] or [f, m]."""
        keys = None if key is None else _columns(key)
        return _checked(
            Factors(layer=layer, kind="direct", left=_columns(left), right=_columns(right), key=keys)
        )

    @property
    def finite(self) -> bool:
        """Whether every number is."""
        parts = (self.left, self.right, *(() if self.key is None else (self.key,)))
        return all(bool(torch.isfinite(part).all()) for part in parts)


def to_payload(factors: Factors) -> bytes:
    """A safetensors file; equal factors give equal bytes."""
    tensors = {"left": factors.left, "right": factors.right}
    if factors.kind == "direct" and factors.key is not None:
        tensors["key"] = factors.key
    # One metadata entry only: safetensors writes several in the order of a randomly seeded hash map.
    return save(tensors, metadata={"guardedit": f"{factors.kind} {factors.layer}"})


def from_payload(payload: bytes) -> Factors:
    """Inverse of `to_payload`. Numbers that are not finite pass: the guard wants to see them.

    Raises:
        EditError: when the bytes are not a payload.
    """
    try:
        tensors = load(payload)
        kind, layer = _metadata(payload).split(" ")
        if kind not in get_args(Kind):
            raise EditError(f"payload has the unknown kind {kind!r}; known: {', '.join(get_args(Kind))}")
        key = tensors.get("key")
        if kind == "ridge":
            return Factors.ridge(layer=int(layer), key=tensors["right"], residual=tensors["left"])
        return Factors.direct(layer=int(layer), left=tensors["left"], right=tensors["right"], key=key)
    except (SafetensorError, KeyError, ValueError) as error:
        raise EditError(f"not a weight edit ({len(payload)} bytes): {error}") from error


def _metadata(payload: bytes) -> str:
    """The entry of the header, which `safetensors.torch.load` drops."""
    length = int.from_bytes(payload[:8], "little")
    entry = json.loads(payload[8 : 8 + length])["__metadata__"]["guardedit"]
    return str(entry)


def _columns(part: Tensor) -> Tensor:
    """[n] or [n, m] to contiguous float32 [n, m] on the CPU."""
    part = part.detach().to("cpu", torch.float32)
    return (part.unsqueeze(1) if part.ndim == 1 else part).contiguous()


def _checked(factors: Factors) -> Factors:
    shapes = tuple(factors.left.shape), tuple(factors.right.shape)
    if factors.left.ndim != 2 or factors.right.ndim != 2 or shapes[0][1] != shapes[1][1]:
        raise EditError(f"left is {shapes[0]}, right is {shapes[1]}: both need one column a key")
    if factors.key is not None and factors.key.shape[0] != shapes[1][0]:
        raise EditError(f"key is {tuple(factors.key.shape)}, right is {shapes[1]}: both need f rows")
    return factors
