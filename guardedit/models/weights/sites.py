"""A site: the down projection of one layer of the base model, with everything that the fold needs from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from guardedit.core.errors import EditError
from guardedit.models.host import ModelHost
from guardedit.models.threads import one_thread
from guardedit.models.weights.ridge import Ridge
from guardedit.models.weights.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The down projection of one layer, on the CPU.

    Attributes:
        layer: decoder layer.
        name: parameter name of the matrix.
        W: [d, f] float64, the base matrix.
        bias: [d] float64, zero where the module has none.
        moments: second moments of the layer's keys; None if they are missing; `ridge` and `hooked` edits then
            cannot be folded.
        ridge: M and its Cholesky factor; None without `moments`.
        size: Frobenius norm of W.
        background: tr(W C W^T), mean squared output on background text; NaN without `moments`.
    """

    layer: int
    name: str
    W: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)
    moments: SecondMoments | None
    ridge: Ridge | None
    size: float
    background: float


def site_of(
    host: ModelHost,
    layer: int,
    moments: SecondMoments | None,
    *,
    background_weight: float,
    ridge: float,
) -> Site:
    """Read the base model's matrix and factorise M.

    Raises:
        EditError: when the model has no such layer, or the moments have another width.
    """
    if not 0 <= layer < host.layers:
        raise EditError(f"an edit is for layer {layer}, this model has layers 0 to {host.layers - 1}")
    W = host.base_matrix(layer).to("cpu", torch.float64).contiguous()
    if moments is not None and moments.C.shape[0] != W.shape[1]:
        raise EditError(
            f"second moments of layer {layer} have width {moments.C.shape[0]}, the keys {W.shape[1]}: "
            "they were collected on another model; collect them on this one"
        )
    bias = getattr(host.mlp_out(layer), "bias", None)
    with one_thread():
        background = float("nan") if moments is None else float(((W @ moments.C) * W).sum())
        size = float(W.norm())
    return Site(
        layer=layer,
        name=host.layout.matrix_name(layer),
        W=W,
        bias=torch.zeros(W.shape[0], dtype=torch.float64) if bias is None else bias.detach().cpu().double(),
        moments=moments,
        ridge=None
        if moments is None
        else Ridge(C=moments.C, spectrum=moments.spectrum, background_weight=background_weight, ridge=ridge),
        size=size,
        background=background,
    )
