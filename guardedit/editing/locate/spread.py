"""Spread the residual of each value over several layers (MEMIT, Meng et al. 2023, algorithm 1).

The change of a value is found at the deepest edited layer. Then, from the lowest layer up, each layer gets an
equal part of the change that is still missing at the deepest layer, measured with the lower layers already
changed. The last layer gets the rest. Methods differ in the solver that turns the keys and residuals of one
layer into a change, with one column per subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor

from guardedit.core.protocols import SubjectGroup
from guardedit.editing.locate.background import Backgrounds
from guardedit.editing.locate.norms import before_norm, normed
from guardedit.editing.locate.solvers import Solve
from guardedit.editing.locate.values import Value, change_rows
from guardedit.editing.optimise.contexts import Contexts
from guardedit.editing.optimise.layer_activations import read_layer
from guardedit.editing.optimise.rows import RowTensors, row_tensors
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.matrices import read_matrix, to_stored
from guardedit.models.weights.factors import Factors

#: Subjects and their values.
FoundValues = Sequence[tuple[SubjectGroup, Value]]


def spread_residual(
    host: ModelHost, layers: Sequence[int], found: FoundValues, *, contexts: Contexts, solve: Solve
) -> list[tuple[Factors, ...]]:
    """The `direct` parts of each edit, one per layer.

    Args:
        host: the model that the edits will change; locked by the caller, and left as it is.
        layers: ascending.
        found: n subjects and their values at the last layer, on the host as it is.
        contexts: prefixes; keys are averaged over them.
        solve: the method's solver of one layer.

    Raises:
        EditDiverged: when a layer cannot be solved.
    """
    tensors = _tensors(host, found, contexts)
    wanted = _wanted(host, layers[-1], [value for _, value in found])  # [n, d]
    parts: list[list[Factors]] = [[] for _ in found]
    hidden_before = torch.zeros_like(wanted)
    with ExitStack() as stack:
        for number, layer in enumerate(layers):
            now = read_layer(host, layer, layers[-1], tensors, len(found))
            if number == 0:
                hidden_before = now.hidden
            missing = wanted - (now.hidden - hidden_before)  # [n, d]
            residual = before_norm(host.after_mlp(layer), now.values, missing / (len(layers) - number))
            left, right = solve(layer, now.keys.T, residual.T)
            for n, mine in enumerate(parts):
                mine.append(Factors.direct(layer=layer, left=left[:, n], right=right[:, n], key=now.keys[n]))
            if layer != layers[-1]:
                stack.enter_context(host.patched(_changed(host, layer, left @ right.T)))
    return [tuple(mine) for mine in parts]


def spread_evenly(
    host: ModelHost, layers: Sequence[int], found: FoundValues, *, contexts: Contexts, background: Backgrounds
) -> list[tuple[Factors, ...]]:
    """The `ridge` parts of each edit, one per layer, each for an equal share of the change (D4S).

    All layers are read on the host as it is. The fold solves the parts: an edit alone would receive the share
    k^T M^-1 k / (1 + k^T M^-1 k) of its residual, so the residual is divided by that share.

    Args:
        host: the base model; locked by the caller.
        layers: ascending.
        found: subjects and their values at the last layer.
        contexts: prefixes; keys are averaged over them.
        background: M of the fold.
    """
    tensors = _tensors(host, found, contexts)
    part = _wanted(host, layers[-1], [value for _, value in found]) / len(layers)  # [n, d]
    by_layer = []
    for layer in layers:
        now = read_layer(host, layer, layers[-1], tensors, len(found))
        strength = (now.keys * background.solve(layer, now.keys.T).T).sum(1)  # [n] k^T M^-1 k
        share = strength / (1.0 + strength)
        residual = before_norm(host.after_mlp(layer), now.values, part) / share[:, None]
        by_layer.append(
            [Factors.ridge(layer=layer, key=now.keys[n], residual=residual[n]) for n in range(len(found))]
        )
    return list(zip(*by_layer, strict=True))


def _tensors(host: ModelHost, found: FoundValues, contexts: Contexts) -> RowTensors:
    rows = [row for n, (group, _) in enumerate(found) for row in change_rows(n, group, contexts)]
    return row_tensors(host.tokenizer, rows, context=host.context)


def _wanted(host: ModelHost, layer: int, values: Sequence[Value]) -> Tensor:
    """[n, d]: how the changes of the values change the residual stream."""
    change, now = (torch.stack([getattr(v, name) for v in values]) for name in ("change", "bare_value"))
    norm = host.after_mlp(layer)
    return change if norm is None else normed(norm, now + change) - normed(norm, now)


def _changed(host: ModelHost, layer: int, change: Tensor) -> Patch:
    """A patch that adds `change` [d, f] to the layer's down projection."""
    name = host.layout.matrix_name(layer)
    W = read_matrix(host.model, name).to("cpu", torch.float64)
    return Patch({name: to_stored(host.model, name, W + change)})
