"""The direction that each edit of a batch writes along, for each subject and layer.

With M = lambda C + eps I of a layer and K the keys of the live and of the new edits:

    B = M^-1 K (I + K^T M^-1 K)^-1        [f, n]

Column i is the right factor of edit i in the ridge solution (MEMIT, Meng et al. 2023, eq. 14, dual form), so
its product with the keys of the other edits is small. Here each column is scaled so that its product with its
own key is 1.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from guardedit.core.proposal import WeightEdit
from guardedit.editing.joint.sensitivity import sensitivity_of
from guardedit.editing.optimise.keys import KeysAndValues, keys_and_values_by_layer
from guardedit.editing.optimise.rows import Row, RowTensors, row_tensors
from guardedit.editing.setup import Setup
from guardedit.models.threads import one_thread
from guardedit.models.weights.factors import parts_of
from guardedit.models.weights.ridge import Ridge
from guardedit.models.weights.second_moments import SecondMoments, cached_moments, moments_from
from guardedit.naming import last_span


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStatistics:
    """Second moments of one layer, which directions and their price depend on.

    Attributes:
        layer: decoder layer.
        ridge: M, from background text and known subjects.
        priced: [f, f] float64, second moment P of the keys whose outputs are priced, over tr(W P W^T).
        output_power: tr(W P W^T), the mean squared norm of the outputs at those keys.
        sensitivity: [d, d] float32, see `joint.sensitivity`; None where no price needs it.
    """

    layer: int
    ridge: Ridge
    priced: Tensor
    output_power: float
    sensitivity: Tensor | None = None

    @staticmethod
    def of(setup: Setup) -> dict[int, LayerStatistics]:
        """Statistics of the edited layers. They belong to the base model, so no edit may be applied.

        In M, the keys of known subjects have `subject_direction` times the weight of the background. In the
        price, they have the share `subject_felt`, and background keys the rest.
        """
        subjects = _subject_moments(setup)
        found = {layer: LayerStatistics._with(setup, layer, subjects.get(layer)) for layer in setup.layers}
        if not setup.joint.divergence_price:
            return found
        folder = setup.cache and setup.cache / setup.host.base_sha256
        sensitivity = sensitivity_of(setup.host, setup.texts, setup.layers, folder=folder)
        return {layer: replace(one, sensitivity=sensitivity[layer]) for layer, one in found.items()}

    @staticmethod
    def _with(setup: Setup, layer: int, subjects: Tensor | None) -> LayerStatistics:
        settings, C = setup.joint, setup.moments[layer].C
        background = C if subjects is None else C + settings.subject_direction * subjects
        priced = C if subjects is None else torch.lerp(C, subjects, settings.subject_felt)
        W = setup.host.base_matrix(layer).double().cpu()
        ridge = Ridge(
            C=background,
            spectrum=torch.linalg.eigvalsh(background),
            background_weight=setup.settings.background_weight,
            ridge=setup.settings.ridge,
        )
        power = float(((W @ priced) * W).sum())
        return LayerStatistics(layer=layer, ridge=ridge, priced=priced / power, output_power=power)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """Directions of n subjects in one layer.

    Attributes:
        keys: [f, n] float64, mean over wordings and contexts.
        right: [f, n] float64; a change r [d] of subject i adds r (right_i @ q) at a key q, and r at its own
            key.
        price: [n, n] float32; changes R [d, n] have the relative squared output error tr(R price R^T).
        scale: [n] float32, ||v0||.
        output_power, sensitivity: as in `LayerStatistics`.
    """

    keys: Tensor
    right: Tensor
    price: Tensor
    scale: Tensor
    output_power: float = math.nan
    sensitivity: Tensor | None = None

    def divergence_gradient(self, left: Tensor) -> Tensor:
        """Gradient of (1/2) tr(S R P R^T), in nats a token, with respect to the changes R^T = left [n, d]."""
        if self.sensitivity is None:
            return torch.zeros_like(left)
        return self.output_power * (self.price @ left @ self.sensitivity)

    @staticmethod
    def of(subjects: KeysAndValues, layer: LayerStatistics, live: Sequence[WeightEdit]) -> Directions:
        """Directions for the mean keys and values of n `subjects`, read from the model as it stands."""
        keys = subjects.keys.t().contiguous()
        live_keys = [
            part.key.double()
            for edit in live
            for part in parts_of(edit.payload)
            if part.layer == layer.layer and part.key is not None
        ]
        K = torch.cat([*live_keys, keys], dim=1)
        U = layer.ridge.solve_together(K)
        system = torch.eye(K.shape[1], dtype=torch.float64) + K.t() @ U
        B = torch.linalg.solve(system, U.t()).t()[:, -len(subjects.keys) :]
        right = B / (B * keys).sum(0)
        return Directions(
            keys=keys,
            right=right,
            price=(right.t() @ layer.priced @ right).float(),
            scale=subjects.values.norm(dim=1).float(),
            output_power=layer.output_power,
            sensitivity=layer.sensitivity,
        )


def _subject_moments(setup: Setup) -> dict[int, Tensor]:
    """Layer -> second moment [f, f] float64 of the keys at known subjects' last tokens; may be empty."""
    rows = [
        Row(group=n, subject=question.subject, prompt=question.prompt, answer=f"{question.expected}.")
        for n, question in enumerate(setup.known)
        if question.expected and last_span(question.prompt, question.subject)
    ]
    if not rows:
        return {}
    digest = hashlib.sha256(json.dumps([(row.prompt, row.subject, row.answer) for row in rows]).encode())
    text_sha256 = digest.hexdigest()

    def make(layers: Sequence[int]) -> dict[int, SecondMoments]:
        tensors = row_tensors(setup.host.tokenizer, rows, context=setup.host.context)
        distinct, count = _up_to_subject(tensors)
        # The ledger holds the file's digest, so a lost file must be rebuilt with the same bytes.
        with one_thread():
            return {
                layer: moments_from(
                    found.keys.t() @ (found.keys * count[:, None]) / len(rows),
                    found.values.norm(dim=1),
                    layer=layer,
                    tokens=len(rows),
                    text_sha256=text_sha256,
                )
                for layer, found in keys_and_values_by_layer(setup.host, layers, distinct).items()
            }

    folder = setup.cache and setup.cache / setup.host.base_sha256
    by_layer = cached_moments(folder, f"subjects-{text_sha256[:16]}", setup.layers, make)
    return {layer: moments.C for layer, moments in by_layer.items()}


def _up_to_subject(rows: RowTensors) -> tuple[RowTensors, Tensor]:
    """One row of each set that is equal up to the subject's last token, and the set sizes [rows] float64.

    Rows of a set have equal keys, whatever follows the subject.
    """
    up_to_subject = torch.arange(rows.ids.shape[1]) <= rows.subject_at[:, None]
    _, which, count = torch.unique(
        torch.where(up_to_subject, rows.ids, -1), dim=0, return_inverse=True, return_counts=True
    )
    first = torch.full((len(count),), len(which)).scatter_reduce(0, which, torch.arange(len(which)), "amin")
    return rows.select(first), count.double()
