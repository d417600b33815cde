"""ROME exactly as first published: rank one, one fact at a time, and two different keys.

The update direction uses the key averaged over prefixes, the denominator the key of the bare prompt
(Meng et al. 2022, section 3.1 and the reference code). Where the two differ much, as for subjects that open
the prompt, the denominator is tiny and one edit ruins the model ("The Fall of ROME", 2406.11263). It is
here as the negative control and for comparison; the default is `ridge`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from guardedit.core.errors import CorrectionError, EditDiverged
from guardedit.core.fact import Fact
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.contexts import Contexts, sample_contexts
from guardedit.editing.keys import Site, at_subject
from guardedit.editing.objective import Objective
from guardedit.editing.rows import STOP, Row, RowTensors, row_tensors
from guardedit.editing.settings import EditSettings
from guardedit.editing.solve import rome_direction, rome_residual
from guardedit.editing.targets import Adam, clamp
from guardedit.editing.upper import UpperLayers
from guardedit.models.factors import Factors, to_payload
from guardedit.models.fold import Fold
from guardedit.models.host import ModelHost
from guardedit.models.statistics import SecondMoments

# The reference code's values for GPT-2 XL; its step of 0.5 is relative here, as `learning_rate_ratio`.
STEPS = 20
CLAMP_RATIO = 4.0
KL_WEIGHT = 0.0625
WEIGHT_DECAY = 0.5
ENOUGH_NATS = 0.05
#: How many prefixes of how many tokens.
PREFIXES = ((10, 5), (10, 10))


class RomeEditor:
    """Proposes one `direct` edit a fact, each on the model with all live edits and the earlier proposals.

    So proposals are not pure: they depend on order, and undoing one leaves what later ones were made for.

    Args:
        host: the base model.
        fold: turns live edits into matrices.
        moments: of the layer to edit.
        settings: only `learning_rate_ratio` is read.
        contexts: prefixes; default: twenty, sampled from the model.
        seed: for the prefixes.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "rome"

    def __init__(
        self,
        host: ModelHost,
        fold: Fold,
        moments: SecondMoments,
        *,
        settings: EditSettings,
        contexts: Contexts | None = None,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host, self._fold, self._moments, self._settings = host, fold, moments, settings
        self._contexts = contexts or _prefixes(host, seed)
        self._clock = clock

    @classmethod
    def build(cls, host: ModelHost, fold: Fold, moments: SecondMoments, settings: EditSettings) -> RomeEditor:
        """As every editing method is built."""
        return cls(host, fold, moments, settings=settings)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, in the order given. Refused: no subject in the prompt, or not finite."""
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        for group in groups:
            for fact in group.facts:
                try:
                    with self._host.lock, self._host.patched(self._fold.fold([*live, *edits])):
                        edits.append(self._edit(group.subject, fact))
                except (CorrectionError, EditDiverged) as error:
                    refused[fact.id] = str(error)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edit(self, subject: str, fact: Fact) -> WeightEdit:
        texts = self._contexts.around(fact.prompt)
        rows = [
            Row(group=0, subject=subject, prompt=text, answer=fact.target + STOP, context=n, fact=fact.id)
            for n, text in enumerate(texts)
        ]
        rows.append(Row(group=0, subject=subject, prompt=f"{subject} is a", answer=STOP))
        tensors = row_tensors(self._host.tokenizer, rows, context=self._host.context)
        site = at_subject(self._host, self._moments.layer, tensors)
        change, loss_nats = self._value(tensors, site.values[0].norm())
        return self._rank_one(subject, fact, site, change, loss_nats)

    def _value(self, rows: RowTensors, scale: Tensor) -> tuple[Tensor, float]:
        """Value optimisation of section 3.1, step 2: delta [d] and the last loss in nats."""
        upper = UpperLayers(self._host, self._moments.layer, rows)
        objective = Objective(upper, rows, preservation_weight=KL_WEIGHT)
        everything, size = torch.ones_like(rows.keep), float(scale)
        change, adam, loss = torch.zeros(1, upper.width), Adam(1, upper.width), float("nan")
        rate = self._settings.learning_rate_ratio * size / upper.width**0.5
        for _ in range(STEPS):
            gradient, scores = objective.descend(change, everything)
            nll, kl = scores.loss_nats[~rows.keep].mean(), scores.loss_nats[rows.keep].mean()
            loss = float(nll + KL_WEIGHT * kl + WEIGHT_DECAY * change.norm() / size**2)
            if loss < ENOUGH_NATS:
                break
            # The odd form of the decay, ||delta|| / ||v0||^2, is the reference code's.
            gradient += WEIGHT_DECAY * change / (change.norm().clamp(min=1e-12) * size**2)
            change = clamp(change - rate * adam.direction(gradient), torch.tensor([CLAMP_RATIO * size]))
        return change[0], loss

    def _rank_one(self, subject: str, fact: Fact, site: Site, change: Tensor, loss_nats: float) -> WeightEdit:
        prompts = len(self._contexts.prefixes) + 1
        u = rome_direction(self._moments.C, site.keys[:prompts].mean(0))
        key, value = site.keys[0], site.values[0]
        left = rome_residual(target=value + change, value=value, key=key, direction=u)
        factors = Factors.direct(layer=self._moments.layer, left=left, right=u, key=key)
        return WeightEdit(
            subject=subject,
            facts=(fact.id,),
            method=self.name,
            payload=to_payload(factors),
            diagnostics={
                "change_ratio": float(change.norm() / value.norm()),
                "denominator": float(key @ u),
                "loss_nats": loss_nats,
            },
        )


def _prefixes(host: ModelHost, seed: int) -> Contexts:
    texts = [
        sample_contexts(host, count=count, length_tokens=length, seed=seed + length).prefixes
        for count, length in PREFIXES
    ]
    return Contexts(tuple(prefix for part in texts for prefix in part))
