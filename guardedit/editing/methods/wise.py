"""WISE: edits are trained into a side memory, and a router uses it for the prompts of the edits.

Wang et al. 2024, arXiv:2405.14768. Facts are trained into random columns of a copy of one matrix, with
margins on the routing activation: it must be high for prompts of the edits and low for other texts. Each edit
stores the activation of its own prompts, from which `weights.bypasses.router` computes the routing threshold.
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from guardedit.core.errors import CorrectionError
from guardedit.core.fact import Fact
from guardedit.core.probe import Question
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import STOP, Contexts, sample_contexts
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts
from guardedit.editing.tune.side_memory import SideMemory, SideMemorySettings
from guardedit.editing.tune.side_memory_training import train
from guardedit.models.text.tokens import encode
from guardedit.models.weights.bypasses.router import merged, shard_changes
from guardedit.models.weights.factors import Factors, parts_of, to_payload

#: Number of prefixes besides the bare wording. The published ten add variety; here all wordings are trained
#: instead.
PREFIXES = 1
#: Facts trained together; bounds memory.
FACTS_AT_ONCE = 8
#: Share of the matrix that one shard may change, and number of facts in a shard (as published).
MASK_SHARE, SHARD_FACTS = 0.2, 500
#: Irrelevant ordinary texts for each fact, and their length in tokens.
OTHER_TEXTS, OTHER_TOKENS = 3, 24


class WiseEditor:
    """Proposes one `routed` edit for each fact, trained on top of the live edits.

    Args:
        setup: model, layer, ordinary texts and seed; without texts, the sampled prefixes are used instead.
        contexts: prefixes of the prompts; default: sampled from the model.
        settings: of the training.
        share: of the matrix's columns that one shard may change.
        shard_facts: how many facts one shard takes before the next one starts.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "wise"
    card = MethodCard(
        family="side memory",
        paper="Wang et al. 2024, arXiv:2405.14768",
        stores="low rank of some columns of one matrix, and a threshold",
        undo="in order",
        batch="together",
        needs_subject=False,
        deviations=(
            "the facts of a batch are trained together, not one after the other",
            "a prompt must activate the memory at tokens that it does not share with an irrelevant text",
            "a mask consists of whole columns, so that steps can be preconditioned by the second moments",
            "the router decides at every token, by the running maximum instead of the mean over a prompt",
            "it compares the outputs of the matrices, without an activation function",
            "margins, threshold and steps are relative to the typical norm of the value",
            "all wordings of a fact are trained",
            "other questions about the subject are irrelevant texts too",
            "all shards are merged",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        settings: SideMemorySettings | None = None,
        share: float = MASK_SHARE,
        shard_facts: int = SHARD_FACTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._share, self._shard_facts = share, shard_facts
        prefixes = min(setup.settings.contexts, PREFIXES)
        self._contexts = contexts or sample_contexts(setup.host, count=prefixes, seed=setup.seed)
        self._settings = settings or SideMemorySettings(
            steps=setup.settings.steps, confidence=setup.settings.confidence
        )
        self._texts = setup.texts or self._contexts.prefixes

    @classmethod
    def build(cls, setup: Setup) -> WiseEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts that cannot be encoded, and non-finite edits."""
        start, host, layer = self._clock(), self._setup.host, self._setup.layer
        memory = [part for edit in _canonical(live) for part in _routed(edit, layer)]
        others = [edit for edit in live if not _routed(edit, layer)]
        keep = {fact.id: group.keep for group in groups for fact in group.facts}

        def make(wanted: Sequence[FactToEdit]) -> list[WeightEdit]:
            edits = self._edits(wanted, keep, memory)
            memory.extend(part for edit in edits for part in _routed(edit, layer))
            return edits

        with host.lock, host.patched(self._setup.fold.fold(others)):
            edits, refused = edit_facts(host, groups, make, at_once=FACTS_AT_ONCE)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(
        self, wanted: Sequence[FactToEdit], keep: Mapping[str, Sequence[Question]], memory: Sequence[Factors]
    ) -> list[WeightEdit]:
        host, layer = self._setup.host, self._setup.layer
        rows = [row for n, item in enumerate(wanted) for row in self._rows(n, item.fact, keep[item.fact.id])]
        tensors = row_tensors(host.tokenizer, rows, context=host.context)
        shard, shards = self._shard(memory), shard_changes(memory)
        existing = merged(shards) if shards else torch.zeros(host.base_matrix(layer).shape)
        side = SideMemory(
            host,
            layer,
            tensors,
            moments=self._setup.moments[layer],
            columns=self._columns(shard, memory),
            existing=existing,
            settings=self._settings,
        )
        found, edits = train(side), []
        added = torch.stack([left.double() @ right.double().t() for left, right in found.factors]).sum(0)
        whole = merged({**shards, shard: shards.get(shard, 0.0) + added})
        for n, (item, (left, right)) in enumerate(zip(wanted, found.factors, strict=True)):
            # A fact that the model already knows changes nothing, so its activation of 0 must not lower the
            # threshold.
            activation = side.activation(n, whole) or math.inf
            factors = Factors.direct(
                kind="routed",
                layer=layer,
                left=left,
                right=right,
                key=side.answer_keys[(tensors.group == n) & ~tensors.keep].t(),
                extra={
                    "shard": torch.tensor(shard),
                    "activation": torch.tensor(activation, dtype=torch.float64),
                    "ratio": torch.tensor(self._settings.ratio, dtype=torch.float64),
                },
            )
            diagnostics = {
                "activation": activation,
                "rank": float(left.shape[1]),
                "satisfied": float(found.satisfied[n]),
                "steps": float(found.steps[n]),
            }
            edits.append(self._edit(item, factors, diagnostics))
        return edits

    def _rows(self, number: int, fact: Fact, keep: Sequence[Question]) -> list[Row]:
        """Rows of one fact: first those to edit, then irrelevant ones, which must not activate the memory."""
        edited = [
            Row(group=number, subject="", prompt=text, answer=fact.target + STOP, context=n, fact=fact.id)
            for wording in dict.fromkeys(fact.wordings)
            for n, text in enumerate(self._contexts.around(wording))
        ]
        asked = [q for q in keep[: self._setup.settings.keep_limit] if q.prompt not in fact.wordings]
        other = [
            *((q.prompt, (q.expected or "") + STOP) for q in asked),
            *((text, STOP) for text in self._others(fact)),
        ]
        irrelevant = [Row(group=number, subject="", prompt=text, answer=answer) for text, answer in other]
        # The bare prompt is known to fit into the context; other rows that do not fit are left out.
        return [edited[0], *(row for row in (*edited[1:], *irrelevant) if self._fits(row))]

    def _others(self, fact: Fact) -> list[str]:
        """Excerpts of ordinary texts; the same for the same fact."""
        host, rng = self._setup.host, random.Random(f"{self._setup.seed} {fact.id}")
        length = min(OTHER_TOKENS, host.context // 2)
        excerpts = []
        for text in rng.sample(self._texts, min(OTHER_TEXTS, len(self._texts))):
            ids = encode(host.tokenizer, text)
            start = rng.randrange(max(1, len(ids) - length))
            excerpts.append(host.tokenizer.decode(ids[start : start + length], skip_special_tokens=True))
        return [excerpt for excerpt in excerpts if excerpt.strip()]

    def _fits(self, row: Row) -> bool:
        host = self._setup.host
        try:
            row_tensors(host.tokenizer, [row], context=host.context)
        except CorrectionError:
            return False
        return True

    def _shard(self, memory: Sequence[Factors]) -> int:
        """The shard for the next facts: the latest one, or a new one if that is full."""
        taken = Counter(int(part.extra["shard"]) for part in memory)
        latest = max(taken, default=0)
        return latest + 1 if taken[latest] >= self._shard_facts else latest

    def _columns(self, shard: int, memory: Sequence[Factors]) -> Tensor:
        """[c]: the columns that the shard's live edits use; for a new shard, random ones."""
        f = self._setup.host.base_matrix(self._setup.layer).shape[1]
        used = torch.zeros(f, dtype=torch.bool)
        for part in memory:
            if int(part.extra["shard"]) == shard:
                used |= (part.right != 0).any(dim=1)
        if used.any():
            return used.nonzero()[:, 0]
        generator = torch.Generator().manual_seed(self._setup.seed * 1_000_003 + shard)
        return torch.randperm(f, generator=generator)[: max(1, round(self._share * f))].sort().values

    def _edit(self, item: FactToEdit, factors: Factors, diagnostics: Mapping[str, float]) -> WeightEdit:
        return WeightEdit(
            subject=item.subject,
            facts=(item.fact.id,),
            method=self.name,
            payload=to_payload(factors),
            diagnostics=diagnostics,
        )


def _routed(edit: WeightEdit, layer: int) -> list[Factors]:
    return [part for part in parts_of(edit.payload) if (part.kind, part.layer) == ("routed", layer)]


def _canonical(edits: Sequence[WeightEdit]) -> list[WeightEdit]:
    """Edits in the order of the fold, so that sums are rounded as there."""
    named = {edit.digest: edit for edit in edits}
    return [named[digest] for digest in sorted(named)]
