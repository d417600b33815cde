"""UltraEdit: edits from one forward and backward pass, running statistics and one linear system.

Gu et al. 2025, arXiv:2505.14679. It needs no subject and no training. For each matrix and each token that
predicts an answer token, it takes the key h [f] and the gradient g [d] of the loss with respect to the
output. Both are normalised (h^, g^) with the mean and standard deviation over the tokens of all edits so far.
Then v = -eta ||h^||^2 g^ is the wanted change of the output at h, and Delta = V^T H (H^T H + a I)^-1 over the
tokens of the batch, with raw keys H [N, f].

The statistics are not kept as state. Each edit stores those of its own tokens, and they are combined over the
live edits and over ordinary text, which StableEdit (arXiv:2605.11836) uses as a warm-up.
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
from guardedit.editing.tune.by_fact import FactToEdit, edit_facts, fact_tensors
from guardedit.editing.tune.row_statistics import RowStatistics, joined
from guardedit.editing.tune.token_gradients import TokenGradients, text_rows, token_gradients
from guardedit.models.weights.factors import Factors, parts_of, to_payload

#: Subjects in one turn, and most facts in one linear system. A turn is solved on the model with the edits of
#: the earlier turns. In the paper a turn has 100 facts.
TURN = 100
#: Number of texts for the warm-up of the statistics, and the most tokens that are used of each.
WARM_TEXTS, WARM_TOKENS = 32, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class UltraEditSettings:
    """Settings of UltraEdit.

    Attributes:
        step_ratio: eta, made independent of the model's sizes. For a typical token, ||h^||^2 is about f and
            ||g^|| about sqrt(d), so the published eta = 1e-6 changes a value by 1e-6 f sqrt(d). That is 0.9
            for f = 14336 and d = 4096; for f = 1024 and d = 256 it is a fiftieth of that, which has no
            effect. Here a typical token's value changes by this share of the norm of a typical value, divided
            among the layers. With three layers, 2 is close to the published step in each.
        ridge_ratio: a, as a share of the mean squared norm of a key; the published a is 1, absolute.
        warm: whether ordinary text is part of the statistics.
    """

    step_ratio: float = 2.0
    ridge_ratio: float = 0.1
    warm: bool = True


class UltraEditor:
    """Proposes one `direct` edit per fact, with one part per layer; the facts of a turn are solved together.

    Args:
        setup: the model and its layers.
        settings: of the method.
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
            "step and ridge are relative to the norms of values and keys",
            "statistics are per layer instead of per matrix shape, and include ordinary text as a warm-up",
            "down projections only",
        ),
    )

    def __init__(
        self,
        setup: Setup,
        *,
        settings: UltraEditSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup, self._settings, self._clock = setup, settings or UltraEditSettings(), clock
        self._warm_up: dict[int, RowStatistics] | None = None  # of the base model; computed when first needed

    @classmethod
    def build(cls, setup: Setup) -> UltraEditor:
        """Build the editor from a setup."""
        return cls(setup)

    def propose(self, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """One edit for each fact, in order. Refused: facts that cannot be encoded, and non-finite edits."""
        start, refused, edits = self._clock(), dict[str, str](), list[WeightEdit]()
        host, fold = self._setup.host, self._setup.fold
        for at in range(0, len(groups), TURN):
            with host.lock:
                known = self._statistics([*live, *edits])
                with host.patched(fold.fold([*live, *edits])):
                    made, unfit = edit_facts(
                        host, groups[at : at + TURN], partial(self._edits, known=known), at_once=TURN
                    )
            edits += made
            refused |= unfit
        return Proposal(method=self.name, edits=tuple(edits), refused=refused, seconds=self._clock() - start)

    def _statistics(self, live: Sequence[WeightEdit]) -> dict[int, list[RowStatistics]]:
        """By layer, the statistics of ordinary text and of each live edit, in the order of digests."""
        if self._settings.warm and self._warm_up is None:
            self._warm_up = self._text_statistics()
        known = {
            layer: [self._warm_up[layer]] if self._warm_up is not None else [] for layer in self._setup.layers
        }
        for _, edit in sorted({edit.digest: edit for edit in live}.items()):
            for part in parts_of(edit.payload):
                if "squares" in part.extra and part.layer in known:
                    known[part.layer].append(_from_extra(part.extra))
        return known

    def _text_statistics(self) -> dict[int, RowStatistics]:
        """By layer, the statistics of ordinary text, or of sampled text if the setup has no texts."""
        setup = self._setup
        texts = setup.texts[:WARM_TEXTS]
        if not texts:
            texts = sample_contexts(setup.host, count=WARM_TEXTS, length_tokens=20, seed=setup.seed).prefixes
        rows = text_rows(setup.host, texts, length=min(WARM_TOKENS, setup.host.context))
        found, _ = token_gradients(setup.host, setup.layers, rows)
        return {layer: RowStatistics.of(_together(tokens)) for layer, tokens in found.items()}

    def _edits(
        self, wanted: Sequence[FactToEdit], known: Mapping[int, Sequence[RowStatistics]]
    ) -> list[WeightEdit]:
        """The edits of one turn. The tokens of the turn are part of the statistics, too.

        Args:
            wanted: facts of the turn.
            known: by layer, the statistics of earlier tokens.
        """
        rows = fact_tensors(self._setup.host, wanted)
        found, owners = token_gradients(self._setup.host, self._setup.layers, rows)
        parts: list[list[Factors]] = [[] for _ in wanted]
        for layer, tokens in found.items():
            own = [RowStatistics.of(_together(tokens)[owners == n]) for n in range(len(wanted))]
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

    def _solved(self, layer: int, tokens: TokenGradients, known: RowStatistics) -> tuple[Tensor, Tensor]:
        """V [d, N] and U [f, N] with Delta = V U^T and a column for each token."""
        f, d = tokens.keys.shape[1], tokens.gradients.shape[1]
        normal = (_together(tokens) - known.mean) / known.deviation
        h, g = normal[:, :f], normal[:, f:]
        share = self._settings.step_ratio / len(self._setup.layers)
        length = share * self._setup.moments[layer].value_norm / (f * d**0.5)
        V = -length * h.square().sum(1, keepdim=True) * g  # [N, d]
        ridge = self._settings.ridge_ratio * float(known.mean_square[:f].sum())
        return V.t(), token_directions(tokens.keys, ridge)


def token_directions(H: Tensor, ridge: float) -> Tensor:
    """H^T (H H^T + a I)^-1 [f, N], which equals (H^T H + a I)^-1 H^T, with a column for each token.

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
    """Keys and gradients side by side, [N, f + d]."""
    return torch.cat([tokens.keys, tokens.gradients], dim=1)


def _extra(own: RowStatistics) -> dict[str, Tensor]:
    return {"count": torch.tensor([own.count]), "mean": own.mean, "squares": own.squares}


def _from_extra(extra: Mapping[str, Tensor]) -> RowStatistics:
    return RowStatistics(int(extra["count"]), extra["mean"], extra["squares"])
