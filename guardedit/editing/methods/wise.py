"""WISE: a side memory that edits are trained into, and a router that opens it for what they are about.

Facts are trained into random columns of a copy of one matrix, so that their prompts
excite the copy and other texts do not (Wang et al. 2024, arXiv:2405.14768). `models.bypasses.router` routes;
how much an edit's own prompts excite the memory is kept with it and makes the threshold.
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
from guardedit.editing.optimise.contexts import Contexts, sample_contexts
from guardedit.editing.optimise.rows import STOP, Row, row_tensors
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import Wanted, edit_facts
from guardedit.editing.tune.side_memory import Recipe, SideMemory
from guardedit.models.text.tokens import encode
from guardedit.models.weights.bypasses.router import merged, shard_changes
from guardedit.models.weights.factors import Factors, parts_of, to_payload

#: Prefixes beside the bare wording. The published ten stand for variety, and here all wordings are trained.
PREFIXES = 1
#: Facts trained together; bounds memory.
FACTS_AT_ONCE = 8
#: Share of the matrix that one shard may change, and how many facts it takes (published).
MASK_SHARE, SHARD_FACTS = 0.2, 500
#: Ordinary texts a fact is held against, and their length in tokens.
OTHER_TEXTS, OTHER_TOKENS = 3, 24


class WiseEditor:
    """Proposes one `routed` edit a fact, trained on top of the live ones.

    Args:
        setup: model, layer, ordinary texts and seed; without texts, the model's own prefixes serve.
        contexts: prefixes; default: sampled from the model.
        recipe: of the training.
        share: of the matrix's columns, what one shard may change.
        shard_facts: how many facts one shard takes before the next is begun.
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
            "the facts of a batch are trained together, not one on top of the other",
            "a prompt must excite the memory by what it has not in common with a text to leave alone",
            "a mask takes whole columns, so that within it steps can be preconditioned by the second moments",
            "the router decides at every token, by the running maximum instead of a prompt's mean",
            "it compares what the matrices put out, without an activation function behind it",
            "margins, threshold and steps are relative to the usual norm of the value",
            "all wordings of a fact are trained",
            "the subject's other questions count as texts to leave alone",
            "all shards are served merged",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        contexts: Contexts | None = None,
        recipe: Recipe | None = None,
        share: float = MASK_SHARE,
        shard_facts: int = SHARD_FACTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._clock = setup, clock
        self._share, self._shard_facts = share, shard_facts
        host, dials = setup.host, setup.settings
        prefixes = min(dials.contexts, PREFIXES)
        self._contexts = contexts or sample_contexts(host, count=prefixes, seed=setup.seed)
        self._recipe = recipe or Recipe(steps=dials.steps, confidence=dials.confidence)
        self._texts = setup.texts or self._contexts.prefixes

    @classmethod
    def build(cls, setup: Setup) -> WiseEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, in the order given. Refused: what cannot be encoded, or is not finite."""
        start, host, layer = self._clock(), self._setup.host, self._setup.layer
        memory = [part for edit in _canonical(live) for part in _routed(edit, layer)]
        others = [edit for edit in live if not _routed(edit, layer)]
        keep = {fact.id: group.keep for group in groups for fact in group.facts}

        def make(wanted: Sequence[Wanted]) -> list[WeightEdit]:
            edits = self._edits(wanted, keep, memory)
            memory.extend(part for edit in edits for part in _routed(edit, layer))
            return edits

        with host.lock, host.patched(self._setup.fold.fold(others)):
            edits, refused = edit_facts(host, groups, make, at_once=FACTS_AT_ONCE)
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _edits(
        self, wanted: Sequence[Wanted], keep: Mapping[str, Sequence[Question]], memory: Sequence[Factors]
    ) -> list[WeightEdit]:
        host, layer = self._setup.host, self._setup.layer
        rows = [row for n, item in enumerate(wanted) for row in self._rows(n, item.fact, keep[item.fact.id])]
        tensors = row_tensors(host.tokenizer, rows, context=host.context)
        shard, shards = self._shard(memory), shard_changes(memory)
        standing = merged(shards) if shards else torch.zeros(host.base_matrix(layer).shape)
        side = SideMemory(
            host,
            layer,
            tensors,
            moments=self._setup.moments[layer],
            columns=self._columns(shard, memory),
            standing=standing,
            recipe=self._recipe,
        )
        found, edits = side.train(), []
        added = torch.stack([left.double() @ right.double().t() for left, right in found.thin]).sum(0)
        whole = merged({**shards, shard: shards.get(shard, 0.0) + added})
        for n, (item, (left, right)) in enumerate(zip(wanted, found.thin, strict=True)):
            # A fact that the model knew has nothing to be routed for, and sets no threshold.
            activation = side.activation(n, whole) or math.inf
            factors = Factors.direct(
                kind="routed",
                layer=layer,
                left=left,
                right=right,
                key=side.asking[(tensors.group == n) & ~tensors.keep].t(),
                extra={
                    "shard": torch.tensor(shard),
                    "activation": torch.tensor(activation, dtype=torch.float64),
                    "ratio": torch.tensor(self._recipe.ratio, dtype=torch.float64),
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
        """What shall be answered in new words, and what shall not excite the memory."""
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
        left_alone = [Row(group=number, subject="", prompt=text, answer=answer) for text, answer in other]
        # The bare prompt is known to fit; of the others, those that do not are left out.
        return [edited[0], *(row for row in (*edited[1:], *left_alone) if self._fits(row))]

    def _others(self, fact: Fact) -> list[str]:
        """Pieces of ordinary text, the same for the same fact."""
        host, rng = self._setup.host, random.Random(f"{self._setup.seed} {fact.id}")
        length = min(OTHER_TOKENS, host.context // 2)
        pieces = []
        for text in rng.sample(self._texts, min(OTHER_TEXTS, len(self._texts))):
            ids = encode(host.tokenizer, text)
            start = rng.randrange(max(1, len(ids) - length))
            pieces.append(host.tokenizer.decode(ids[start : start + length], skip_special_tokens=True))
        return [piece for piece in pieces if piece.strip()]

    def _fits(self, row: Row) -> bool:
        host = self._setup.host
        try:
            row_tensors(host.tokenizer, [row], context=host.context)
        except CorrectionError:
            return False
        return True

    def _shard(self, memory: Sequence[Factors]) -> int:
        """The shard that takes the next facts: the latest, or a new one where that is full."""
        taken = Counter(int(part.extra["shard"]) for part in memory)
        latest = max(taken, default=0)
        return latest + 1 if taken[latest] >= self._shard_facts else latest

    def _columns(self, shard: int, memory: Sequence[Factors]) -> Tensor:
        """[c]: those that the shard's live edits use, or a fresh choice."""
        f = self._setup.host.base_matrix(self._setup.layer).shape[1]
        used = torch.zeros(f, dtype=torch.bool)
        for part in memory:
            if int(part.extra["shard"]) == shard:
                used |= (part.right != 0).any(dim=1)
        if used.any():
            return used.nonzero()[:, 0]
        generator = torch.Generator().manual_seed(self._setup.seed * 1_000_003 + shard)
        return torch.randperm(f, generator=generator)[: max(1, round(self._share * f))].sort().values

    def _edit(self, item: Wanted, factors: Factors, diagnostics: Mapping[str, float]) -> WeightEdit:
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
    """In the order of the fold, so that sums round alike."""
    named = {edit.digest: edit for edit in edits}
    return [named[digest] for digest in sorted(named)]
