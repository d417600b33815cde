"""Screens layers before anything is edited: how well the keys of subjects stand apart from ordinary text.

For a key k and the second moment C of ordinary keys, the cheapest rank-one edit that writes a vector r at k
changes the output on ordinary text by ||r||^2 / (k^T C^-1 k) in expectation. So k^T C^-1 k, over its
expectation f for an ordinary key, says how much room a layer leaves for edits of these subjects. It says
nothing about whether a change there reaches the answer, so windows are only ordered by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from guardedit.editing.optimise.keys import keys_and_values_by_layer
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.lab.sweep.candidates import EditPlace
from guardedit.models.host import ModelHost
from guardedit.models.weights.second_moments import SecondMoments
from guardedit.prepare.places.cases import TryCase

#: Numbers of layers in a window. Spreading a change over more layers disturbs ordinary text less, but leaves
#: fewer layers above to act on it.
WIDTHS = (3, 7)
#: Share of the layers, from below, in which windows begin. Higher up, the subject has been read already.
LOWER_SHARE = 0.6
#: Added to C, as a share of its mean eigenvalue, since few tokens give a noisy C.
SHRINKAGE = 0.01


def windows(layers: int, *, most: int) -> list[EditPlace]:
    """At most `most` windows of each of `WIDTHS`, evenly spread over the lower layers.

    >>> [str(place) for place in windows(12, most=2)]
    ['0-2', '6-8', '0-6', '5-11']
    """
    found: list[EditPlace] = []
    for width in WIDTHS:
        last = min(int(layers * LOWER_SHARE) - 1, layers - width)
        if last < 0:
            continue
        starts = sorted({round(n * last / max(1, most - 1)) for n in range(most)})
        found += [EditPlace(tuple(range(start, start + width))) for start in starts]
    return found or [EditPlace((layers // 2,))]


def room_by_layer(
    host: ModelHost, cases: Sequence[TryCase], moments: Mapping[int, SecondMoments]
) -> dict[int, float]:
    """Layer -> median over the cases of k^T C^-1 k / f, at the last token of the subject; 1 is ordinary."""
    rows = [
        Row(
            group=n,
            subject=case.fact.key.subject,
            prompt=case.fact.prompt,
            answer=case.true,
            fact=case.fact.id,
        )
        for n, case in enumerate(cases)
    ]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    found = keys_and_values_by_layer(host, sorted(moments), tensors)
    return {layer: _room(found[layer].keys, moments[layer].C) for layer in moments}


def by_room(places: Sequence[EditPlace], room: Mapping[int, float]) -> list[EditPlace]:
    """The places, those with the most room first: the mean over their layers, times their number."""
    return sorted(places, key=lambda place: -sum(room[layer] for layer in place.layers))


def _room(keys: torch.Tensor, C: torch.Tensor) -> float:
    """`keys` [n, f] and C [f, f], both float64."""
    f = C.shape[0]
    shrunk = C + SHRINKAGE * C.diagonal().mean() * torch.eye(f, dtype=C.dtype)
    solved = torch.cholesky_solve(keys.t(), torch.linalg.cholesky(shrunk))  # [f, n]
    return float((keys.t() * solved).sum(0).median()) / f
