"""Where edits write: a direction a subject and layer, of a batch and beside the live edits.

With M the weighted background of a layer, K the keys of the live and of the new edits:

    B = M^-1 K (I + K^T M^-1 K)^-1        [f, n]

Column i takes what is written at key i to all keys the way ridge does (MEMIT, Meng et al. 2023, eq. 14, in
its dual form), so it is small at the keys of the others. Here it is scaled to bring one at its own key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from guardedit.core.proposal import WeightEdit
from guardedit.editing.optimise.keys import Site, at_subject_in
from guardedit.editing.optimise.rows import Row, RowTensors, row_tensors
from guardedit.editing.setup import Setup
from guardedit.models.threads import one_thread
from guardedit.models.weights.factors import parts_of
from guardedit.models.weights.ridge import Ridge
from guardedit.models.weights.statistics import SecondMoments, kept, moments_from
from guardedit.naming import last_span


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
    def of(setup: Setup) -> dict[int, LayerStatistics]:
        """Of the base model's edited layers; run this while no edit is in place.

        M counts known subjects' keys `subject_direction` times the background, the price asks for them as
        `subject_felt` of all.
        """
        subjects = _subject_moments(setup)
        return {layer: LayerStatistics._with(setup, layer, subjects.get(layer)) for layer in setup.layers}

    @staticmethod
    def _with(setup: Setup, layer: int, subjects: Tensor | None) -> LayerStatistics:
        dials, C = setup.joint, setup.moments[layer].C
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
        U = layer.ridge.spread_together(K)
        system = torch.eye(K.shape[1], dtype=torch.float64) + K.t() @ U
        B = torch.linalg.solve(system, U.t()).t()[:, -len(site.keys) :]
        right = B / (B * keys).sum(0)
        return Directions(
            keys=keys,
            right=right,
            price=(right.t() @ layer.felt @ right).float(),
            scale=site.values.norm(dim=1).float(),
        )


def _subject_moments(setup: Setup) -> dict[int, Tensor]:
    """By layer, second moment of the keys at known subjects' last tokens, [f, f] float64; may be empty."""
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
        with one_thread():  # the ledger knows their digest, so a lost file must come back the same
            return {
                layer: moments_from(
                    site.keys.t() @ (site.keys * count[:, None]) / len(rows),
                    site.values.norm(dim=1),
                    layer=layer,
                    tokens=len(rows),
                    text_sha256=text_sha256,
                )
                for layer, site in at_subject_in(setup.host, layers, distinct).items()
            }

    folder = setup.cache and setup.cache / setup.host.base_sha256
    found = kept(folder, f"subjects-{text_sha256[:16]}", setup.layers, make)
    return {layer: moments.C for layer, moments in found.items()}


def _up_to_subject(rows: RowTensors) -> tuple[RowTensors, Tensor]:
    """One row of those that are the same up to the subject's last token, and how many there are of each.

    Questions that begin with the subject have one key, however they go on.
    """
    there = torch.arange(rows.ids.shape[1]) <= rows.subject_at[:, None]
    _, which, count = torch.unique(
        torch.where(there, rows.ids, -1), dim=0, return_inverse=True, return_counts=True
    )
    first = torch.full((len(count),), len(which)).scatter_reduce(0, which, torch.arange(len(which)), "amin")
    return rows.chosen(first), count.double()
