"""Weight edits in factored form, and their payload: the bytes that the ledger stores.

A payload is a safetensors file with one part for each matrix that its edit changes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from guardedit.core.errors import EditError

Kind = Literal["ridge", "direct", "hooked", "codebook", "routed"]
#: Kinds that change the matrix itself; the others are bypasses (`models.bypass`).
WRITTEN: frozenset[Kind] = frozenset({"ridge", "direct"})
#: Kinds with residuals in `left` and keys in `right`; all edits of such a kind in a layer are solved jointly.
SOLVED: frozenset[Kind] = frozenset({"ridge", "hooked"})
#: Kinds with keys in `right`.
KEYED: frozenset[Kind] = SOLVED | {"codebook"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """One edit at the down projection W [d, f] of one layer, as float32 on the CPU.

    The kinds:
    - `ridge`: `right` holds keys k [f, n]; `left` holds the residuals r = v* - W0 k [d, n] between their
      target values and the base model. The change is solved jointly with all other live edits (MEMIT with
      history).
    - `direct`: the change is `left @ right.T`, added as it is.
    - `hooked`: as `ridge`, but base and edited matrix are both kept, and a test at every token chooses
      between them (CoachHook).
    - `codebook`: `right` holds keys and `left` the values that replace the output near them (GRACE).
    - `routed`: `left @ right.T` is the change of a side memory (WISE).

    Attributes:
        layer: decoder layer, counted from 0.
        kind: see above.
        left: [d, n].
        right: [f, n].
        key: [f, m], keys at which the change is meant to act, for inspection. Equal to `right` if that holds
            keys; None for an edit without keys.
        extra: name -> other tensors that the kind or the method needs: radii, thresholds, statistics.
    """

    layer: int
    kind: Kind
    left: Tensor
    right: Tensor
    key: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def ridge(*, layer: int, key: Tensor, residual: Tensor) -> Factors:
        """An edit that aims at W k = W0 k + r. `key` [f] or [f, n], `residual` [d] or [d, n]."""
        return Factors.keyed("ridge", layer=layer, key=key, value=residual)

    @staticmethod
    def keyed(
        kind: Kind, *, layer: int, key: Tensor, value: Tensor, extra: Mapping[str, Tensor] | None = None
    ) -> Factors:
        """An edit whose `right` are its keys: `key` [f] or [f, n], `value` [d] or [d, n]."""
        keys = _columns(key)
        return _checked(
            Factors(
                layer=layer, kind=kind, left=_columns(value), right=keys, key=keys, extra=_plain(extra or {})
            )
        )

    @staticmethod
    def direct(
        *,
        layer: int,
        left: Tensor,
        right: Tensor,
        key: Tensor | None = None,
        kind: Kind = "direct",
        extra: Mapping[str, Tensor] | None = None,
    ) -> Factors:
        """An edit W0 + left right^T. `left` [d] or [d, n], `right` [f] or [f, n], `key` [f] or [f, m]."""
        return _checked(
            Factors(
                layer=layer,
                kind=kind,
                left=_columns(left),
                right=_columns(right),
                key=None if key is None else _columns(key),
                extra=_plain(extra or {}),
            )
        )

    @staticmethod
    def dense(
        *,
        layer: int,
        change: Tensor,
        key: Tensor | None = None,
        kind: Kind = "direct",
        extra: Mapping[str, Tensor] | None = None,
    ) -> Factors:
        """An edit by a full matrix [d, f], factored as the identity [d, d] times the matrix."""
        eye = torch.eye(change.shape[0])
        return Factors.direct(layer=layer, left=eye, right=change.t(), key=key, kind=kind, extra=extra)

    @property
    def finite(self) -> bool:
        """Whether all numbers of left, right and key are finite."""
        parts = (self.left, self.right, *(() if self.key is None else (self.key,)))
        return all(bool(torch.isfinite(part).all()) for part in parts)


def to_payload(*parts: Factors) -> bytes:
    """The bytes of a safetensors file; equal parts in equal order give equal bytes."""
    tensors: dict[str, Tensor] = {}
    for n, part in enumerate(parts):
        # A single part has no number: most payloads have one part, and ledgers hold digests of their bytes.
        prefix = f"{n}." if len(parts) > 1 else ""
        tensors |= {f"{prefix}left": part.left, f"{prefix}right": part.right}
        if part.key is not None and part.key is not part.right:
            tensors[f"{prefix}key"] = part.key
        tensors |= {f"{prefix}extra.{name}": value for name, value in part.extra.items()}
    # One metadata entry only: safetensors writes several in random order.
    return save(tensors, metadata={"guardedit": ";".join(f"{part.kind} {part.layer}" for part in parts)})


def parts_of(payload: bytes) -> tuple[Factors, ...]:
    """Inverse of `to_payload`. Numbers that are not finite are accepted: the guard reports them.

    Raises:
        EditError: when the bytes are not a payload.
    """
    try:
        tensors = load(payload)
        entries = [entry.split(" ") for entry in _metadata(payload).split(";")]
        return tuple(
            _part(kind, int(layer), tensors, f"{n}." if len(entries) > 1 else "")
            for n, (kind, layer) in enumerate(entries)
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise EditError(f"not a weight edit ({len(payload)} bytes): {error}") from error


def from_payload(payload: bytes) -> Factors:
    """The only part of a payload; EditError when it has several, or the bytes are not a payload."""
    parts = parts_of(payload)
    if len(parts) != 1:
        raise EditError(f"the edit has {len(parts)} parts, expected one: read it with parts_of")
    return parts[0]


def _part(kind: str, layer: int, tensors: Mapping[str, Tensor], prefix: str) -> Factors:
    if kind not in get_args(Kind):
        raise EditError(f"payload has the unknown kind {kind!r}; known: {', '.join(get_args(Kind))}")
    known: Kind = kind  # type: ignore[assignment]  # checked above
    start = f"{prefix}extra."
    extra = {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
    left, right, key = tensors[f"{prefix}left"], tensors[f"{prefix}right"], tensors.get(f"{prefix}key")
    if known in KEYED:
        return Factors.keyed(known, layer=layer, key=right, value=left, extra=extra)
    return Factors.direct(layer=layer, left=left, right=right, key=key, kind=known, extra=extra)


def _metadata(payload: bytes) -> str:
    """Our metadata entry of the safetensors header, which `safetensors.torch.load` does not return."""
    length = int.from_bytes(payload[:8], "little")
    entry = json.loads(payload[8 : 8 + length])["__metadata__"]["guardedit"]
    return str(entry)


def _columns(part: Tensor) -> Tensor:
    """[n] or [n, m] to contiguous float32 [n, m] on the CPU."""
    part = part.detach().to("cpu", torch.float32)
    return (part.unsqueeze(1) if part.ndim == 1 else part).contiguous()


def _plain(extra: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Cloned, since safetensors refuses tensors that share memory, and parts may share these tensors.
    return {name: extra[name].detach().cpu().clone().contiguous() for name in sorted(extra)}


def _checked(factors: Factors) -> Factors:
    shapes = tuple(factors.left.shape), tuple(factors.right.shape)
    if factors.left.ndim != 2 or factors.right.ndim != 2 or shapes[0][1] != shapes[1][1]:
        raise EditError(f"left is {shapes[0]}, right is {shapes[1]}: both need the same number of columns")
    if factors.key is not None and factors.key.shape[0] != shapes[1][0]:
        raise EditError(f"key is {tuple(factors.key.shape)}, right is {shapes[1]}: both need f rows")
    return factors
