"""LoRA: adapters of low rank on the down projections, trained on one fact at a time.

Hu et al. 2021, arXiv:2106.09685, as an editing baseline (EasyEdit: rank 8, alpha 32, 70 steps of Adam). What
an adapter adds to its matrix, scale B A, is a change of rank 8 already, so the edit is exact and small.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.keys import Site, at_subject
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.setup import Setup
from guardedit.editing.tune.adapters import Adapter, adapted, written
from guardedit.editing.tune.by_fact import Wanted, edit_facts, wanted_rows
from guardedit.models.weights.factors import Factors, to_payload


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The dials; rank, alpha, steps and stop as published.

    Attributes:
        learning_rate_ratio: how far the first step moves the value where the answer begins, as a share of
            its norm, shared by the adapted layers. The published 5e-3 is absolute. Of what was tried on
            the demo model (0.1, 0.03, 0.02, 0.01) the least writes every fact and harms least.
        rank: of each adapter.
        alpha: PEFT's `lora_alpha`.
        steps: gradient steps.
        enough_nats: a fact is done when its loss is below.
    """

    learning_rate_ratio: float = 0.01
    rank: int = 8
    alpha: int = 32
    steps: int = 70
    enough_nats: float = 1e-2


class LoraEditor:
    """Proposes one `direct` edit a fact, a part for each adapted layer, on the model with all live edits.

    Facts of one batch do not see each other; together they add up.

    Args:
        setup: the model and its layers.
        recipe: the dials.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "lora"
    card = MethodCard(
        family="fine-tuning",
        paper="Hu et al. 2021, arXiv:2106.09685; as in EasyEdit, arXiv:2308.07269",
        stores="rank eight of each edited matrix",
        undo="in order",
        batch="together",
        spreads=True,
        needs_subject=False,
        deviations=(
            "adapters on the down projections instead of attention, which edits do not reach",
            "trained on each fact by itself, so that an edit belongs to one fact",
            "the learning rate is relative to the value's norm",
            "no dropout, so that an edit repeats",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._recipe = recipe or Recipe()

    @classmethod
    def build(cls, setup: Setup) -> LoraEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, in the order given. Refused: what cannot be encoded, or is not finite."""
        start, host = self._clock(), self._setup.host
        with host.lock, host.patched(self._setup.fold.fold(live)):
            edits, refused = edit_facts(host, groups, lambda each: [self._edit(each[0])], at_once=1)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edit(self, wanted: Wanted) -> WeightEdit:
        host, recipe = self._setup.host, self._recipe
        rows = wanted_rows(host, [wanted])
        rank = min(recipe.rank, *(min(host.base_matrix(layer).shape) for layer in self._setup.layers))
        view, adapters = adapted(
            host,
            self._setup.layers,
            rank=rank,
            alpha=recipe.alpha,
            generator=_generator(self._setup.seed, wanted.fact.id),
        )
        sites = [_answering(host, adapter.layer, rows) for adapter in adapters]
        loss, steps = train(view, adapters, sites, rows, recipe)
        parts = []
        for adapter, site in zip(adapters, sites, strict=True):
            left, right = written(adapter)
            parts.append(Factors.direct(layer=adapter.layer, left=left, right=right, key=site.keys.t()))
        return WeightEdit(
            subject=wanted.subject,
            facts=(wanted.fact.id,),
            method=self.name,
            payload=to_payload(*parts),
            diagnostics={"loss_nats": loss, "steps": float(steps)},
        )


def train(
    model: Any, adapters: Sequence[Adapter], sites: Sequence[Site], rows: RowTensors, recipe: Recipe
) -> tuple[float, int]:
    """Adam on the adapters until the answers of one row are likely; last loss in nats and steps taken.

    Args:
        model: with the adapters in it.
        adapters: of one model.
        sites: for each adapter, keys and values where the answer is predicted; they give the step sizes.
        rows: one row.
        recipe: the dials.

    Raises:
        EditDiverged: when a loss or an adapter is not finite.
    """
    ids = rows.ids.to(adapters[0].A.device)
    first, last = int(rows.first[0]), int(rows.last[0])
    share = recipe.learning_rate_ratio / len(adapters)
    rated = [
        {"params": [part], "lr": rate}
        for adapter, site in zip(adapters, sites, strict=True)
        for part, rate in zip((adapter.A, adapter.B), _rates(adapter, site, share), strict=True)
    ]
    optimizer = torch.optim.Adam(rated)
    loss, step = float("nan"), 0
    for step in range(recipe.steps + 1):
        logp = model(input_ids=ids, use_cache=False).logits[0, first : last + 1].float().log_softmax(-1)
        nats = -logp.gather(1, ids[0, first + 1 : last + 2, None]).mean()
        loss = float(nats.detach())
        if not torch.isfinite(nats):
            raise EditDiverged("LoRA training gave a loss that is not finite: lower the learning rate")
        if loss < recipe.enough_nats or step == recipe.steps:
            break
        optimizer.zero_grad()
        nats.backward()
        optimizer.step()
    return loss, step


def _rates(adapter: Adapter, site: Site, share: float) -> tuple[float, float]:
    """Learning rates of A and B.

    A step of Adam on B moves the value by up to rate scale ||A k||_1 in each of d coordinates. A's entries
    move by that share of their spread, so that both change at one pace.
    """
    value, key = site.values[0], site.keys[0].float().to(adapter.A.device)
    reach = float((adapter.A.detach() @ key).abs().sum()) * adapter.scale * value.shape[0] ** 0.5
    spread = float(adapter.A.detach().std())
    return share * spread, share * float(value.norm()) / max(reach, 1e-12)


def _answering(host: Any, layer: int, rows: RowTensors) -> Site:
    """Keys [m, f] and values [m, d] where the m answer tokens of one row are predicted."""
    places = torch.arange(int(rows.first[0]), int(rows.last[0]) + 1)
    spots: dict[str, Tensor] = {name: getattr(rows, name)[[0] * len(places)] for name in ("ids", "lengths")}
    return at_subject(host, layer, replace(rows, **spots, subject_at=places))


def _generator(seed: int, fact: str) -> torch.Generator:
    """The same start for the same fact, wherever it stands in a batch."""
    digest = hashlib.sha256(f"{seed} {fact}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
