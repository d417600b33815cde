"""UltraEdit: no subject and no training; one pass forward and back, statistics, and one linear system.

Gu et al. 2025, arXiv:2505.14679. For each matrix, of every token that predicts an answer token: its key h
[f] and the gradient g [d] of the loss by the output there. Both are normalised with the mean and deviation
of all tokens of all edits so far; then v = -eta ||h^||^2 g^ is what the matrix shall put out more at h, and
Delta = V^T H (H^T H + a I)^-1 over the tokens of the batch, with raw keys H [N, f].

The statistics are no state: each edit carries those of its own tokens, and what is known at any time is their
sum over the live edits, and over the ordinary text that StableEdit (arXiv:2605.11836) warms up with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from guardedit.core.errors import EditDiverged
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.editing.method_card import MethodCard
from guardedit.editing.optimise.contexts import sample_contexts
from guardedit.editing.setup import Setup
from guardedit.editing.tune.by_fact import Wanted, edit_facts, wanted_rows
from guardedit.editing.tune.running import Running, joined
from guardedit.editing.tune.token_gradients import TokenGradients, text_rows, token_gradients
from guardedit.models.weights.factors import Factors, parts_of, to_payload

#: Subjects solved together, each turn on the model with the earlier ones; the paper's turn is 100 facts.
TURN = 100
#: Texts and tokens of each that the statistics are warmed up with.
WARM_TEXTS, WARM_TOKENS = 32, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The dials.

    Attributes:
        step_ratio: eta, freed of scale. ||h^||^2 is about f and ||g^|| about sqrt(d) for an ordinary token,
            so the published eta = 1e-6 moves a value by 1e-6 f sqrt(d): by 0.9 at f = 14336 and d = 4096,
            and by a fiftieth of that at f = 1024 and d = 256, too little to say anything. Here an ordinary
            token's value moves by this share of the norm of an ordinary value, shared by the layers; with
            three layers 2 is close to the published step for each.
        ridge_ratio: a, as a share of the mean squared norm of a key; published is 1, absolute.
        warm: whether ordinary text counts in the statistics.
    """

    step_ratio: float = 2.0
    ridge_ratio: float = 0.1
    warm: bool = True


class UltraEditor:
    """Proposes one `direct` edit a fact, a part for each layer, solved over the batch.

    Args:
        setup: the model and its layers.
        recipe: the dials.
        clock: seconds, for `Proposal.seconds`.
    """

    name = "ultraedit"
    card = MethodCard(
        family="locate-then-edit",
        paper="Gu et al. 2025, arXiv:2505.14679; warm-up of StableEdit, arXiv:2605.11836",
        stores="a column for each answer token and the statistics of its tokens, of each edited matrix",
        undo="in order",
        batch="together",
        spreads=True,
        needs_subject=False,
        deviations=(
            "step and ridge are relative to the size of values and keys",
            "the statistics are kept for each layer instead of each shape, and warmed up with ordinary text",
            "down projections only",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        recipe: Recipe | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._recipe, self._clock = setup, recipe or Recipe(), clock
        self._warmth: dict[int, Running] | None = None  # of the base model: the same whenever it is made

    @classmethod
    def build(cls, setup: Setup) -> UltraEditor:
        """As every editing method is built."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit a fact, in the order given. Refused: what cannot be encoded, or is not finite."""
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        host, fold = self._setup.host, self._setup.fold
        for at in range(0, len(groups), TURN):
            with host.lock:
                known = self._known([*live, *edits])
                with host.patched(fold.fold([*live, *edits])):
                    made, unfit = edit_facts(
                        host, groups[at : at + TURN], partial(self._edits, known=known), at_once=TURN
                    )
            edits += made
            refused |= unfit
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _known(self, live: Sequence[WeightEdit]) -> dict[int, list[Running]]:
        """By layer, the statistics of ordinary text and of the live edits, in the order of digests."""
        if self._recipe.warm and self._warmth is None:
            self._warmth = self._warmed()
        known = {
            layer: [self._warmth[layer]] if self._warmth is not None else [] for layer in self._setup.layers
        }
        for _, edit in sorted({edit.digest: edit for edit in live}.items()):
            for part in parts_of(edit.payload):
                if "squares" in part.extra and part.layer in known:
                    known[part.layer].append(_from_extra(part.extra))
        return known

    def _warmed(self) -> dict[int, Running]:
        setup = self._setup
        texts = setup.texts[:WARM_TEXTS]
        if not texts:
            texts = sample_contexts(setup.host, count=WARM_TEXTS, length_tokens=20, seed=setup.seed).prefixes
        rows = text_rows(setup.host, texts, length=min(WARM_TOKENS, setup.host.context))
        found, _ = token_gradients(setup.host, setup.layers, rows)
        return {layer: Running.of(_together(tokens)) for layer, tokens in found.items()}

    def _edits(self, wanted: Sequence[Wanted], known: Mapping[int, Sequence[Running]]) -> list[WeightEdit]:
        """The edits of one turn; its tokens count in the statistics they are normalised with."""
        rows = wanted_rows(self._setup.host, wanted)
        found, owners = token_gradients(self._setup.host, self._setup.layers, rows)
        parts: list[list[Factors]] = [[] for _ in wanted]
        for layer, tokens in found.items():
            own = [Running.of(_together(tokens)[owners == n]) for n in range(len(wanted))]
            V, U = self._solved(layer, tokens, joined([*known[layer], *own]))
            for n, mine in enumerate(own):
                part = Factors.direct(
                    layer=layer,
                    left=V[:, owners == n],
                    right=U[:, owners == n],
                    key=tokens.keys[owners == n].t(),
                    extra=_extra(mine),
                )
                if not part.finite:
                    raise EditDiverged(f"the gradients at layer {layer} are not finite")
                parts[n].append(part)
        return [
            WeightEdit(
                subject=item.subject,
                facts=(item.fact.id,),
                method=self.name,
                payload=to_payload(*mine),
                diagnostics={"tokens": float((owners == n).sum())},
            )
            for n, (item, mine) in enumerate(zip(wanted, parts, strict=True))
        ]

    def _solved(self, layer: int, tokens: TokenGradients, known: Running) -> tuple[Tensor, Tensor]:
        """V [d, N] and U [f, N] with Delta = V U^T, column by column of the tokens."""
        f, d = tokens.keys.shape[1], tokens.gradients.shape[1]
        normal = (_together(tokens) - known.mean) / known.deviation
        h, g = normal[:, :f], normal[:, f:]
        share = self._recipe.step_ratio / len(self._setup.layers)
        length = share * self._setup.moments[layer].value_norm / (f * d**0.5)
        V = -length * h.square().sum(1, keepdim=True) * g  # [N, d]
        ridge = self._recipe.ridge_ratio * float(known.mean_square[:f].sum())
        return V.t(), token_directions(tokens.keys, ridge)


def token_directions(H: Tensor, ridge: float) -> Tensor:
    """H^T (H H^T + a I)^-1 [f, N], which is (H^T H + a I)^-1 H^T; a column is what one token adds.

    Args:
        H: keys [N, f] float64.
        ridge: a, positive.

    Raises:
        EditDiverged: when the system cannot be solved.
    """
    system = H @ H.t() + ridge * torch.eye(len(H), dtype=H.dtype)
    factor, failed = torch.linalg.cholesky_ex(system)
    if int(failed) or not bool(torch.isfinite(factor).all()):
        raise EditDiverged(f"the keys of {len(H)} tokens cannot be solved together: are they finite?")
    solved: Tensor = torch.cholesky_solve(H, factor)
    return solved.t()


def _together(tokens: TokenGradients) -> Tensor:
    """[N, f + d]."""
    return torch.cat([tokens.keys, tokens.gradients], dim=1)


def _extra(own: Running) -> dict[str, Tensor]:
    return {"count": torch.tensor([own.count]), "mean": own.mean, "squares": own.squares}


def _from_extra(extra: Mapping[str, Tensor]) -> Running:
    return Running(int(extra["count"]), extra["mean"], extra["squares"])
