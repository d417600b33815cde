"""Where edits write: a direction a subject and layer, of a batch and beside the live edits.

With M the weighted background of a layer, K the keys of the live and of the new edits:

    B = M^-1 K (I + K^T M^-1 K)^-1        [f, n]

Column i takes what is written at key i to all keys the way ridge does (MEMIT, Meng et al. 2023, eq. 14, in
its dual form), so it is small at the keys of the others. Here it is scaled to bring one at its own key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.proposal import WeightEdit
from guardedit.editing.keys import Site, at_subject
from guardedit.editing.rows import Row, row_tensors
from guardedit.editing.setup import Setup
from guardedit.models.factors import parts_of
from guardedit.models.ridge import Ridge


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatistics:
    """What a layer's directions and their price depend on, besides keys.

    Attributes:
        layer: decoder layer.
        ridge: M, from background text and the catalogue's subjects.
        felt: [f, f] float64, second moment of the keys whose change is paid for, over tr(W C W^T).
    """

    layer: int
    ridge: Ridge
    felt: Tensor

    @staticmethod
    def of(setup: Setup, layer: int) -> LayerStatistics:
        """Of the base model; run this while no edit is in place.

        M counts known subjects' keys `subject_direction` times the background, the price asks for them as
        `subject_felt` of all.
        """
        dials, C = setup.joint, setup.moments[layer].C
        subjects = _subject_moment(setup, layer)
        aimed = C if subjects is None else C + dials.subject_direction * subjects
        felt = C if subjects is None else torch.lerp(C, subjects, dials.subject_felt)
        W = setup.host.base_matrix(layer).double().cpu()
        ridge = Ridge(
            C=aimed,
            spectrum=torch.linalg.eigvalsh(aimed),
            background_weight=setup.settings.background_weight,
            ridge=setup.settings.ridge,
        )
        return LayerStatistics(layer=layer, ridge=ridge, felt=felt / float(((W @ felt) * W).sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """Of n subjects in one layer.

    Attributes:
        keys: [f, n] float64, mean over wordings and contexts.
        right: [f, n] float64; a change r of subject i adds r (right_i @ q) at a key q, r at its own.
        price: [n, n] float32; tr(R price R^T) is the relative output error that changes R [d, n] cause.
        scale: [n] float32, ||v0||.
    """

    keys: Tensor
    right: Tensor
    price: Tensor
    scale: Tensor

    @staticmethod
    def of(site: Site, layer: LayerStatistics, live: Sequence[WeightEdit]) -> Directions:
        """From the layer's keys and values [n, ...], one a subject, on the model as it stands."""
        keys = site.keys.t().contiguous()
        known = [
            part.key.double()
            for edit in live
            for part in parts_of(edit.payload)
            if part.layer == layer.layer and part.key is not None
        ]
        K = torch.cat([*known, keys], dim=1)
        U = torch.stack([layer.ridge.spread(key) for key in K.t()], dim=1)
        system = torch.eye(K.shape[1], dtype=torch.float64) + K.t() @ U
        B = torch.linalg.solve(system, U.t()).t()[:, -len(site.keys) :]
        right = B / (B * keys).sum(0)
        return Directions(
            keys=keys,
            right=right,
            price=(right.t() @ layer.felt @ right).float(),
            scale=site.values.norm(dim=1).float(),
        )


def _subject_moment(setup: Setup, layer: int) -> Tensor | None:
    """Second moment of the keys at known subjects' last tokens, [f, f] float64; None without any."""
    rows = [
        Row(group=n, subject=question.subject, prompt=question.prompt, answer=f"{question.expected}.")
        for n, question in enumerate(setup.known)
        if question.subject in question.prompt and question.expected
    ]
    if not rows:
        return None
    tensors = row_tensors(setup.host.tokenizer, rows, context=setup.host.context)
    keys = at_subject(setup.host, layer, tensors).keys
    return keys.t() @ keys / len(keys)
