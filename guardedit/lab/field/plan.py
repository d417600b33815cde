"""What an evaluation is to measure. Plain records, and the check that needs no model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from guardedit.core.errors import UsageError
from guardedit.editing.registry import Registry
from guardedit.lab.choosing import check_methods


class Through(StrEnum):
    """Where the facts are written."""

    MEMORY = "memory"  # all in the retrieval memory
    WEIGHTS = "weights"  # all edited, without a guard
    POLICY = "policy"  # the whole system decides
    AGAINST = "against"  # nowhere: another tool has written them


class GivenForm(StrEnum):
    """How the questions of given answers are put."""

    PUBLISHED = "published"  # the data set's text as it is
    SERVED = "served"  # as the system asks the model: a chat model in its template


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """What to evaluate.

    Attributes:
        through: where the facts are written: one way, or several, each on the base model.
        against: folder of the edited model, for `Through.AGAINST`.
        count: most cases.
        known: only cases that the base model knows.
        methods: editing methods of `weights`, each on the base model; empty: the policy's.
        alone: in `weights`, every case by itself on the base model. It is asked its own questions only.
        layers: layers of `weights`; empty: from the policy and the edit card.
        prices: in `weights`, factors on what an edit pays for changing other texts (`at_price`), each on the
            base model; empty: as the policy and the edit card say.
        batch: most facts edited at once in `weights`; 0: as in the policy.
        form: form of given answers, in all ways; None: `published` where facts are in the weights alone, else
            `served`.
        strategies: in `memory`, what facts do to an answer, each by itself; empty: the policy's.
        max_tokens: most tokens of a free answer; None: as many as the model's form usually takes.
        texts: for perplexity, before the edits and after them; no method sees them.
        seed: of the choice of cases, of the methods and of the bootstrap.
    """

    through: tuple[Through, ...]
    against: Path | None = None
    count: int = 200
    known: bool = False
    methods: tuple[str, ...] = ()
    alone: bool = False
    layers: tuple[int, ...] = ()
    prices: tuple[float, ...] = ()
    batch: int = 0
    form: GivenForm | None = None
    strategies: tuple[str, ...] = ()
    max_tokens: int | None = None
    texts: tuple[str, ...] = ()
    seed: int = 0

    @property
    def given_form(self) -> GivenForm:
        """The form of given answers."""
        in_weights = {Through.WEIGHTS, Through.AGAINST}.issuperset(self.through)
        return self.form or (GivenForm.PUBLISHED if in_weights else GivenForm.SERVED)


def check_plan(plan: EvaluationPlan) -> None:
    """Check what needs no model.

    Raises:
        UsageError: an unknown method, or an option that these ways do not use.
    """
    if (plan.against is None) == (plan.through == (Through.AGAINST,)) or not plan.through:
        raise UsageError("give either --through or --against: another tool's model is asked as it is")
    if Through.WEIGHTS not in plan.through and (
        plan.methods or plan.layers or plan.batch or plan.alone or plan.prices
    ):
        raise UsageError(
            "--method, --layers, --batch, --alone and --prices go with --through weights, not with "
            f"{','.join(plan.through)}: set them in the policy's editing section"
        )
    if plan.strategies and Through.MEMORY not in plan.through:
        raise UsageError("--strategy goes with --through memory: set memory.strategy in the policy")
    if plan.alone and plan.batch:
        raise UsageError("give either --alone or --batch: a fact that is edited alone has no batch")
    check_methods(Registry(), plan.methods)
