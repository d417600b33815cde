"""The baseline for speed: computes the same edits in the way of published reference code.

It edits one fact at a time, runs the whole model from the first token to every logit of every position, and
takes a fixed number of steps (Meng et al. 2022 and 2023, `compute_z` in their code). Rows, loss, directions
and settings are those of the default editor, so only the computation differs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.joint.directions import Directions, LayerStatistics
from guardedit.editing.optimise.contexts import sample_contexts
from guardedit.editing.optimise.descent import Adam
from guardedit.editing.optimise.keys import keys_and_values, mean_keys_and_values
from guardedit.editing.optimise.objective import Objective
from guardedit.editing.optimise.rows import Row, RowTensors, fact_rows, keep_rows, row_tensors
from guardedit.editing.optimise.upper_layers import Perturbation
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.views import with_additions
from guardedit.models.weights.factors import Factors, to_payload

#: Gradient steps, as in the reference configurations for models of 6 billion parameters and more.
STEPS = 25


class WholeModel:
    """Computes every layer, position and logit. Has the interface of `UpperLayers`."""

    def __init__(self, host: ModelHost, rows: RowTensors) -> None:
        self._host, self._rows = host, rows
        at = torch.arange(rows.ids.shape[1])
        self._asked = (at >= rows.first[:, None]) & (at <= rows.last[:, None])  # [B, T]
        self._kept = at < rows.changes[:, None]  # [B, T]
        self.width = int(host.base_matrix(0).shape[0])

    def chunks(self, active: Tensor) -> list[Tensor]:
        """All active rows of the fact in one chunk."""
        rows = active.nonzero()[:, 0]
        return [rows] if len(rows) else []

    def answer_ids(self, chunk: Tensor) -> Tensor:
        """Ids of the answer tokens, row after row."""
        return torch.roll(self._rows.ids, -1, dims=1)[chunk][self._asked[chunk]]

    def answer_rows(self, chunk: Tensor) -> Tensor:
        """For each answer token, the index into `chunk` of its row."""
        return self._asked[chunk].nonzero()[:, 0]

    def answer_numbers(self, chunk: Tensor) -> Tensor:
        """For each answer token, its number among those of all rows."""
        place = (self._asked.flatten().cumsum(0) - 1).view_as(self._asked)
        return place[chunk][self._asked[chunk]]

    def answer_kept(self, chunk: Tensor) -> Tensor:
        """For each answer token, whether it is to stay what the base model says."""
        return self._kept[chunk][self._asked[chunk]]

    def logits(self, chunk: Tensor, perturbation: Perturbation | None) -> Tensor:
        """Logits of the answer tokens [answer tokens, vocabulary], selected from those of all tokens."""
        name, above = self._host.layout.mlp_out_name, {} if perturbation is None else perturbation.above
        additions = {name(layer): add for layer, add in above.items()}
        model = with_additions(self._host.model, additions, rows=len(chunk))
        out = model(self._rows.ids[chunk].to(self._host.device), use_cache=False)
        picked: Tensor = out.logits.float().cpu()[self._asked[chunk]]
        return picked


class PlainEditor:
    """Proposes the default editor's edits in the slow way. For comparison only.

    Args:
        setup: the model and its layers.
        steps: gradient steps; default: `STEPS`.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "plain"

    def __init__(
        self, setup: Setup, *, steps: int | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._setup, self._clock = setup, clock
        self.steps = STEPS if steps is None else steps
        self._contexts = sample_contexts(setup.host, count=setup.joint.contexts, seed=setup.seed)
        self._statistics = LayerStatistics.of(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit per subject, each on the base model."""
        del live
        start = self._clock()
        with self._setup.host.lock:
            edits = tuple(self._edit(group) for group in groups)
        return Proposal(method=self.name, edits=edits, seconds=self._clock() - start)

    def _edit(self, group: SubjectGroup) -> WeightEdit:
        host = self._setup.host
        rows = self._rows(group)
        tensors = row_tensors(host.tokenizer, rows, context=host.context)
        directions = {
            layer: Directions.of(
                mean_keys_and_values(keys_and_values(host, layer, tensors), tensors, 1), statistics, ()
            )
            for layer, statistics in self._statistics.items()
        }
        left = self._descend(tensors, directions)
        parts = [
            Factors.direct(layer=layer, left=left[n, 0], right=d.right[:, 0], key=d.keys[:, 0])
            for n, (layer, d) in enumerate(directions.items())
        ]
        facts = tuple(sorted(fact.id for fact in group.facts))
        return WeightEdit(subject=group.subject, facts=facts, method=self.name, payload=to_payload(*parts))

    def _rows(self, group: SubjectGroup) -> list[Row]:
        changed = [row for fact in group.facts for row in fact_rows(0, fact, group.subject, self._contexts)]
        return [*changed, *keep_rows(0, group, {}, limit=self._setup.joint.keep_limit)]

    def _descend(self, tensors: RowTensors, directions: Mapping[int, Directions]) -> Tensor:
        """Left factors of the edits [layers, 1, d]."""
        host, settings, layers = self._setup.host, self._setup.joint, list(directions)
        whole = WholeModel(host, tensors)
        behind = torch.arange(tensors.ids.shape[1]) >= tensors.subject_at[:, None]  # [B, T]

        def perturb(left: Tensor, chunk: Tensor) -> Perturbation:
            def at(n: int, layer: int) -> Callable[[Tensor], Tensor]:
                right = directions[layer].right.float()
                return lambda keys: (keys.float() @ right * behind[chunk, :, None]) @ left[n]

            return Perturbation(torch.empty(0), {layer: at(n, layer) for n, layer in enumerate(layers)})

        objective = Objective(
            whole,
            tensors,
            perturb,
            preservation_weight=settings.preservation_weight,
            enough=settings.confidence**0.5,
        )
        scale = torch.stack([d.scale for d in directions.values()])[..., None]
        left = torch.zeros(len(layers), 1, whole.width)
        adam, everything = Adam(left.shape), torch.ones_like(tensors.keep)
        rate = settings.learning_rate_ratio * scale / (whole.width**0.5 * len(layers))
        for _ in range(self.steps):
            gradient, _ = objective.gradient(left, everything)
            gradient += 2 * settings.norm_penalty * left / (len(layers) * scale**2)
            left = left - rate * adam.direction(gradient)
        return left
