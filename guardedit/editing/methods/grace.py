"""GRACE: a codebook for one matrix, from keys of prompts' last tokens to values that give the answers.

The value is trained by gradient descent with everything else fixed (Hartvigsen et al. 2023,
arXiv:2211.11031). `weights.bypasses.codebook` looks up the key of every token, so the prompt's last token is
also found with cached decoding, in batches, and when text follows the prompt.

A codebook answers the prompts that it was trained on and others with very similar keys. Each wording of a
fact gets a key of its own.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import STOP
from guardedit.editing.optimise.keys import KeysAndValues, keys_and_values
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.perturbations import at_subject as arrive_first
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.editing.optimise.value_changes import ValueChanges, optimise_values
from guardedit.editing.settings import EditSettings
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts
from guardedit.models.host import ModelHost
from guardedit.models.weights.factors import Factors, to_payload
from guardedit.models.weights.second_moments import SecondMoments

#: Facts whose values are trained at the same time; bounds memory.
FACTS_AT_ONCE = 32
#: Default radius as a share of the distance between two keys of background text. On the demo model, prompts
#: about other subjects are further than 0.26 from an edited prompt, and half of the fact's unseen wordings
#: are nearer than 0.2.
RADIUS_RATIO = 0.2


class GraceEditor:
    """Proposes one `codebook` edit for each fact, made on the base model; live edits are not used.

    Args:
        setup: the base model and its layer. Its settings on learning rate, steps, clamp, penalty and
            confidence are used.
        radius_ratio: default radius as a share of `typical_distance`, so that it carries over between models,
            unlike an absolute radius.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "grace"
    card = MethodCard(
        family="side memory",
        paper="Hartvigsen et al. 2023, arXiv:2211.11031",
        stores="a key and a value of one layer for each wording",
        undo="exact",
        batch="together",
        needs_subject=False,
        reads_live=False,
        deviations=(
            "radii are computed from the set of live edits, not shrunk edit by edit",
            "the default radius is relative to distances in this layer, and no radius grows beyond it",
            "the value is initialised with the layer's output, and steps are relative to its norm",
            "every token is looked up, not only the last one of a prompt",
            "each wording gets a key of its own",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        radius_ratio: float = RADIUS_RATIO,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, self._layer, self._settings = setup.host, setup.layer, setup.settings
        self._radius = radius_ratio * typical_distance(setup.moments[setup.layer])
        self._clock = clock

    @classmethod
    def build(cls, setup: Setup) -> GraceEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts that cannot be encoded, and non-finite edits."""
        del live
        start = self._clock()
        with self._host.lock:
            edits, refused = edit_facts(self._host, groups, self._edits, at_once=FACTS_AT_ONCE)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(self, wanted: Sequence[FactToEdit]) -> list[WeightEdit]:
        texts = [self._wordings(item.fact) for item in wanted]
        rows = [
            Row(group=0, subject="", prompt=text, answer=item.fact.target + STOP, fact=item.fact.id)
            for item, mine in zip(wanted, texts, strict=True)
            for text in mine
        ]
        # Every wording is a group of its own, so that each gets its own value.
        rows = [replace(row, group=n) for n, row in enumerate(rows)]
        site, targets = train(self._host, self._layer, rows, self._settings)
        values = site.values + targets.change.double()
        if not bool(torch.isfinite(values).all()):
            raise EditDiverged("the trained value is not finite: lower the step size")
        edits, start = [], 0
        for item, mine in zip(wanted, texts, strict=True):
            own = slice(start, start + len(mine))
            start = own.stop
            edit = self._edit(item, site.keys[own], values[own])
            diagnostics = {
                "change_ratio": float((targets.change[own].norm(dim=1) / site.values[own].norm(dim=1)).max()),
                "radius": self._radius,
                "reached": float(targets.scores.satisfied[own].float().mean()),
                "steps": float(targets.steps[own].max()),
            }
            edits.append(replace(edit, diagnostics=diagnostics))
        return edits

    def _wordings(self, fact: Fact) -> list[str]:
        """The wordings that can be encoded; the prompt is known to be one of them."""
        return [text for text in dict.fromkeys(fact.wordings) if self._fits(text, fact)]

    def _fits(self, text: str, fact: Fact) -> bool:
        row = Row(group=0, subject="", prompt=text, answer=fact.target + STOP, fact=fact.id)
        try:
            row_tensors(self._host.tokenizer, [row], context=self._host.context)
        except CorrectionError:
            return False
        return True

    def _edit(self, item: FactToEdit, keys: Tensor, values: Tensor) -> WeightEdit:
        factors = Factors.keyed(
            "codebook",
            layer=self._layer,
            key=keys.t(),
            value=values.t(),
            extra={
                "label": label_of(item.fact.target),
                "radius": torch.tensor(self._radius, dtype=torch.float64),
                "version": torch.tensor(item.fact.version),
            },
        )
        return WeightEdit(
            subject=item.subject, facts=(item.fact.id,), method=self.name, payload=to_payload(factors)
        )


def train(
    host: ModelHost, layer: int, rows: Sequence[Row], settings: EditSettings
) -> tuple[KeysAndValues, ValueChanges]:
    """Keys [n, f] and values [n, d] at each prompt's last token, and the trained changes of the values.

    Args:
        host: the model to edit, as it stands; locked by the caller.
        layer: the layer of the codebook.
        rows: row n in group n, without subjects.
        settings: of the optimisation.

    Raises:
        EditDiverged: when a loss is not finite.
    """
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    tensors = replace(tensors, subject_at=tensors.first)
    site = keys_and_values(host, layer, tensors)
    upper = UpperLayers(host, layer, tensors)
    objective = Objective(
        upper,
        tensors,
        arrive_first(upper, tensors),
        preservation_weight=0.0,
        enough=settings.confidence**0.5,
    )
    scale = site.values.norm(dim=1)
    return site, optimise_values(objective, tensors, scale=scale, width=upper.width, settings=settings)


def typical_distance(moments: SecondMoments) -> float:
    """Root mean square distance between the keys of two tokens of background text.

    E||k - k'||^2 = 2 (tr C - ||E k||^2). The mean is not stored; C's largest eigenvalue is used in place of
    ||E k||^2, since keys of one layer share a direction that is much longer than all others.
    """
    return math.sqrt(2 * float(moments.spectrum[:-1].clamp(min=0).sum()))


def label_of(target: str) -> Tensor:
    """[32] uint8: sha256 of the target; labels are equal exactly when targets are."""
    return torch.frombuffer(bytearray(hashlib.sha256(target.encode()).digest()), dtype=torch.uint8)
