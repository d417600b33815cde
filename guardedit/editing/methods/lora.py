"""LoRA: low-rank adapters on the down projections, trained on one fact at a time.

Hu et al. 2021, arXiv:2106.09685, as an editing baseline (EasyEdit: rank 8, alpha 32, 70 steps of Adam). An
adapter adds scale B A to its matrix, which has rank 8, so it is stored exactly as a small edit. Needs the
package `peft`: pip install 'guardedit[lora]'.
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
from guardedit.editing.optimise.keys import KeysAndValues, keys_and_values
from guardedit.editing.optimise.rows import RowTensors
from guardedit.editing.setup import Setup
from guardedit.editing.tune.adapters import Adapter, adapter_factors, load_peft, with_adapters
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts, fact_tensors
from guardedit.models.weights.factors import Factors, to_payload


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Settings of the training; rank, alpha, steps and stopping rule as published.

    Attributes:
        learning_rate_ratio: how far the first step moves the value at the token that predicts the first
            answer token, as a share of its norm, divided equally among the adapted layers. The published 5e-3
            is absolute. Of 0.1, 0.03, 0.02 and 0.01 on the demo model, 0.01 writes every fact and harms
            least.
        rank: rank of each adapter.
        alpha: PEFT's `lora_alpha`.
        steps: gradient steps.
        enough_nats: training stops when the loss is below this number of nats.
    """

    learning_rate_ratio: float = 0.01
    rank: int = 8
    alpha: int = 32
    steps: int = 70
    enough_nats: float = 1e-2


class LoraEditor:
    """Proposes one `direct` edit per fact, with one part per layer, on the model with all live edits.

    Facts of one batch are trained independently of each other, and their changes add up.

    Args:
        setup: the model and its layers.
        settings: of the training.
        clock: seconds, for `Proposal.seconds`.

    Raises:
        UsageError: when `peft` is not installed.
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
            "adapters on the down projections instead of attention, since edits change only these",
            "trained on each fact separately, so that an edit belongs to one fact",
            "the learning rate is relative to the value's norm",
            "no dropout, so that edits are reproducible",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        settings: LoraSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        load_peft()  # fails here, before any slow work
        self._setup, self._clock = setup, clock
        self._settings = settings or LoraSettings()

    @classmethod
    def build(cls, setup: Setup) -> LoraEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts that cannot be encoded, and non-finite edits."""
        start, host = self._clock(), self._setup.host
        with host.lock, host.patched(self._setup.fold.fold(live)):
            edits, refused = edit_facts(host, groups, lambda each: [self._edit(each[0])], at_once=1)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edit(self, wanted: FactToEdit) -> WeightEdit:
        host, settings = self._setup.host, self._settings
        rows = fact_tensors(host, [wanted])
        rank = min(settings.rank, *(min(host.base_matrix(layer).shape) for layer in self._setup.layers))
        view, adapters = with_adapters(
            host,
            self._setup.layers,
            rank=rank,
            alpha=settings.alpha,
            generator=_generator(self._setup.seed, wanted.fact.id),
        )
        sites = [_answering(host, adapter.layer, rows) for adapter in adapters]
        loss, steps = train(view, adapters, sites, rows, settings)
        parts = []
        for adapter, site in zip(adapters, sites, strict=True):
            left, right = adapter_factors(adapter)
            parts.append(Factors.direct(layer=adapter.layer, left=left, right=right, key=site.keys.t()))
        return WeightEdit(
            subject=wanted.subject,
            facts=(wanted.fact.id,),
            method=self.name,
            payload=to_payload(*parts),
            diagnostics={"loss_nats": loss, "steps": float(steps)},
        )


def train(
    model: Any,
    adapters: Sequence[Adapter],
    sites: Sequence[KeysAndValues],
    rows: RowTensors,
    settings: LoraSettings,
) -> tuple[float, int]:
    """Train the adapters with Adam on one row; returns the last loss in nats and the number of steps.

    Args:
        model: with the adapters.
        adapters: of this model.
        sites: for each adapter, keys and values at the tokens that predict the answer; they determine the
            step sizes.
        rows: one row.
        settings: of the training.

    Raises:
        EditDiverged: when a loss or an adapter is not finite.
    """
    ids = rows.ids.to(adapters[0].A.device)
    first, last = int(rows.first[0]), int(rows.last[0])
    share = settings.learning_rate_ratio / len(adapters)
    rated = [
        {"params": [part], "lr": rate}
        for adapter, site in zip(adapters, sites, strict=True)
        for part, rate in zip((adapter.A, adapter.B), _rates(adapter, site, share), strict=True)
    ]
    optimizer = torch.optim.Adam(rated)
    loss, step = float("nan"), 0
    for step in range(settings.steps + 1):
        logp = model(input_ids=ids, use_cache=False).logits[0, first : last + 1].float().log_softmax(-1)
        nats = -logp.gather(1, ids[0, first + 1 : last + 2, None]).mean()
        loss = float(nats.detach())
        if not torch.isfinite(nats):
            raise EditDiverged("LoRA training gave a loss that is not finite: lower the learning rate")
        if loss < settings.enough_nats or step == settings.steps:
            break
        optimizer.zero_grad()
        nats.backward()
        optimizer.step()
    return loss, step


def _rates(adapter: Adapter, site: KeysAndValues, share: float) -> tuple[float, float]:
    """Learning rates of A and B.

    A step of Adam on B moves the value by up to rate * scale * ||A k||_1 in each of d coordinates; the rate
    of B makes this move the wanted share of the value's norm. A's entries move by the same share of their
    standard deviation, so that both matrices change at the same pace.
    """
    value, key = site.values[0], site.keys[0].float().to(adapter.A.device)
    reach = float((adapter.A.detach() @ key).abs().sum()) * adapter.scale * value.shape[0] ** 0.5
    spread = float(adapter.A.detach().std())
    return share * spread, share * float(value.norm()) / max(reach, 1e-12)


def _answering(host: Any, layer: int, rows: RowTensors) -> KeysAndValues:
    """Keys [m, f] and values [m, d] at the tokens of one row that predict its m answer tokens."""
    places = torch.arange(int(rows.first[0]), int(rows.last[0]) + 1)
    repeated: dict[str, Tensor] = {
        name: getattr(rows, name)[[0] * len(places)] for name in ("ids", "lengths")
    }
    return keys_and_values(host, layer, replace(rows, **repeated, subject_at=places))


def _generator(seed: int, fact: str) -> torch.Generator:
    """A generator seeded by the fact, so that its adapters start from the same values in every batch."""
    digest = hashlib.sha256(f"{seed} {fact}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
