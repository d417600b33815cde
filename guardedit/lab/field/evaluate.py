"""Evaluates ways of writing facts on cases of a data set, and other tools' edited models in the same way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path

from guardedit import assembly
from guardedit.assembly.model_files import probe_file
from guardedit.core.errors import GuardeditError, UsageError
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.guard.perplexity import Logprobs, paired_ratio
from guardedit.lab.field.asking import AskedState, AskingForms, ask_cases
from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.measures import FieldOutcome
from guardedit.lab.field.plan import EvaluationPlan, GivenForm, Through
from guardedit.lab.field.scoring import Tell
from guardedit.lab.field.selection import Selection, select
from guardedit.lab.field.summary import MetricValue, mean_ratio, ratio_on_texts
from guardedit.lab.field.through_memory import by_strategies
from guardedit.lab.field.through_policy import temporary_system, write_by_policy
from guardedit.lab.field.through_weights import KnownQuestions, at_price, write_each_alone, write_to_weights
from guardedit.lab.field.written import Written, added_up
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.text.form import RawForm
from guardedit.policy.schema import Policy
from guardedit.runtime.local import LocalSystem
from guardedit.settings import Settings

#: Texts for perplexity after each edit alone: the mean over many edits needs fewer of them.
TEXTS_ALONE = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class WayResult:
    """What one way of writing the facts gave.

    Attributes:
        through: where the facts were written.
        method: editing method; "" where none was chosen here.
        price: factor on what an edit pays for changing other texts.
        written: what became of the facts.
        after: case name -> outcome after all facts; where each was edited alone, after its own. Empty where
            the method failed.
        perplexity: over the base model's; None where the weights are those of the base model.
        problem: why the method failed; empty where it did not.
    """

    through: Through
    method: str = ""
    price: float = 1.0
    written: Written | None = None
    after: Mapping[str, FieldOutcome]
    perplexity: MetricValue | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found.

    Attributes:
        base_sha256: digest of the base model.
        selection: the cases.
        base: outcome of the base model.
        ways: one result for each way of the plan, of `weights` one for each method and price, in that order.
    """

    base_sha256: str
    selection: Selection
    base: FieldOutcome
    ways: tuple[WayResult, ...]


def evaluate(
    settings: Settings,
    policy: Policy,
    cases: Sequence[FieldCase],
    plan: EvaluationPlan,
    *,
    tell: Tell = lambda *_: None,
) -> Evaluation:
    """Ask the base model, write all facts, and ask again.

    Args:
        settings: the base model and the home folder with its second moments.
        policy: its editing and memory sections, and for `Through.POLICY` all of it.
        cases: all cases of the data set.
        plan: what to evaluate, see `check_plan`.
        tell: progress.

    Raises:
        UsageError: no case can be used, or the model lacks what this way needs.
        EditError: the only method fails.
    """
    served = assembly.load_prompts(settings)
    published = replace(served, form=RawForm())
    given = published if plan.given_form is GivenForm.PUBLISHED else served
    forms = AskingForms(given=given, free=served, max_tokens=plan.max_tokens)
    with _opened(settings, policy, plan) as (host, system):
        chosen = select(host, cases, count=plan.count, known_only=plan.known, seed=plan.seed, tell=tell)
        unedited = AskedState(host=host, patch=Patch({}))
        base = ask_cases(unedited, chosen.cases, forms, name="the base model", tell=tell)
        asker = _Asker(chosen.cases, forms, plan, unedited, tell)
        ways = tuple(
            result
            for through in plan.through
            for result in _results(through, settings, policy, plan, asker, host=host, system=system)
        )
    return Evaluation(base_sha256=host.base_sha256, selection=chosen, base=base, ways=ways)


def _results(
    through: Through,
    settings: Settings,
    policy: Policy,
    plan: EvaluationPlan,
    asker: _Asker,
    *,
    host: ModelHost,
    system: LocalSystem | None,
) -> Iterator[WayResult]:
    """What one way gave; the weights give one result for each method."""
    corrections = [one for case in asker.cases for one in case.corrections]
    if through is Through.WEIGHTS:
        asker.tell("reading what edits are weighed against", 0, len(corrections))
        setup = _load_setup(settings, policy, host, plan)
        yield from _edited(setup, _with_defaults(plan, policy), asker, _known_questions(settings))
    elif through is Through.POLICY:
        assert system is not None  # `_opened` opens one for this way
        written = write_by_policy(system, corrections, tell=asker.tell)
        yield asker.after_all(written, through, policy.editing.method)
    elif through is Through.AGAINST:
        assert plan.against is not None  # `check_plan`
        yield asker.after_all(_other_model(host, plan.against), through)
    else:
        for name, written in by_strategies(settings, policy, host, corrections, plan.strategies):
            yield asker.after_all(written, through, name)


@contextmanager
def _opened(
    settings: Settings, policy: Policy, plan: EvaluationPlan
) -> Iterator[tuple[ModelHost, LocalSystem | None]]:
    """The base model, and the system where one is needed: it loads the model itself."""
    if Through.POLICY not in plan.through:
        yield assembly.load_host(settings), None
        return
    with temporary_system(settings, policy) as system:
        yield system.loaded.host, system


def _with_defaults(plan: EvaluationPlan, policy: Policy) -> EvaluationPlan:
    """The plan with the policy's method and batch where it names none."""
    editing = policy.editing
    return replace(plan, methods=plan.methods or (editing.method,), batch=plan.batch or editing.batch)


def _load_setup(settings: Settings, policy: Policy, host: ModelHost, plan: EvaluationPlan) -> Setup:
    """The setup of the editing methods, on the plan's layers."""
    middle = plan.layers[len(plan.layers) // 2] if plan.layers else None
    return assembly.load_setup(
        settings, policy, layer=middle, layers=plan.layers or None, seed=plan.seed, host=host
    )


def _edited(setup: Setup, plan: EvaluationPlan, asker: _Asker, known: KnownQuestions) -> Iterator[WayResult]:
    """The result of each method at each price. Of several, one that fails is reported with its problem.

    Raises:
        EditError: the only method fails.
    """
    runs = list(product(plan.methods, plan.prices or (1.0,)))
    for method, price in runs:
        priced = at_price(setup, price) if plan.prices else setup
        try:
            yield replace(_edited_with(method, priced, plan, asker, known), price=price)
        except GuardeditError as error:
            if len(runs) == 1:
                raise
            yield WayResult(through=Through.WEIGHTS, method=method, price=price, after={}, problem=str(error))


def _edited_with(
    method: str, setup: Setup, plan: EvaluationPlan, asker: _Asker, known: KnownQuestions
) -> WayResult:
    editor = Registry().build(method, setup)
    if plan.alone:
        return asker.each_alone(write_each_alone(setup, editor, asker.cases, known_questions=known), method)

    def tell(doing: str, done: int, total: int) -> None:
        asker.tell(f"{doing} by {method}", done, total)

    corrections = [one for case in asker.cases for one in case.corrections]
    written = write_to_weights(setup, editor, corrections, batch=plan.batch, known_questions=known, tell=tell)
    return asker.after_all(written, Through.WEIGHTS, method)


class _Asker:
    """Asks the cases after the facts were written, and measures perplexity on the plan's texts."""

    def __init__(
        self,
        cases: Sequence[FieldCase],
        forms: AskingForms,
        plan: EvaluationPlan,
        unedited: AskedState,
        tell: Tell,
    ) -> None:
        self.cases, self.tell = cases, tell
        self._forms, self._plan, self._unedited = forms, plan, unedited

    @cached_property
    def _base(self) -> Logprobs:
        """Log-probabilities of the texts under the base model, where they are needed."""
        return _logprobs(self._unedited, self._plan.texts)

    def after_all(self, written: Written, through: Through, method: str = "") -> WayResult:
        """The result of facts that were all written before anything is asked."""
        state, by = written.state, f"by {method}" if through is Through.WEIGHTS else f"through {through}"
        name = "the other model" if through is Through.AGAINST else f"the model after all facts {by}"
        unedited = state.host is self._unedited.host and state.patch.empty
        if unedited:  # facts in memory alone: texts without one are those that the base model was given
            state = replace(state, known=self._unedited.known)
        outcome = ask_cases(state, self.cases, self._forms, name=name, tell=self.tell)
        perplexity = None
        if self._plan.texts and not unedited:
            ratio = paired_ratio(_logprobs(state, self._plan.texts), self._base)
            perplexity = ratio_on_texts(ratio)
        return WayResult(
            through=through,
            method=method,
            written=written,
            after=dict.fromkeys((case.name for case in self.cases), outcome),
            perplexity=perplexity,
        )

    def each_alone(self, made: Iterator[tuple[FieldCase, Written]], method: str) -> WayResult:
        """The result of cases that were each edited alone; perplexity is the mean over the edits made."""
        after: dict[str, FieldOutcome] = {}
        parts, ratios = list[Written](), list[float]()
        texts = self._plan.texts[:TEXTS_ALONE]
        base = self._base[:TEXTS_ALONE]
        self.tell(f"editing alone by {method}", 0, len(self.cases))
        for case, written in made:
            parts.append(written)
            after[case.name] = ask_cases(written.state, [case], self._forms, name="")
            if texts and not written.state.patch.empty:  # a refused fact changes no text
                ratios.append(paired_ratio(_logprobs(written.state, texts), base).ratio)
            self.tell(f"editing alone by {method}", len(parts), len(self.cases))
        return WayResult(
            through=Through.WEIGHTS,
            method=method,
            written=added_up(parts, worst_perplexity=max(ratios, default=math.nan)),
            after=after,
            perplexity=mean_ratio(ratios, seed=self._plan.seed) if ratios else None,
        )


def _logprobs(state: AskedState, texts: Sequence[str]) -> Logprobs:
    """Log-probabilities of the texts."""
    with state.host.patched(state.patch):
        return state.host.token_logprobs(texts)


def _known_questions(settings: Settings) -> KnownQuestions:
    """What the probe set says about a subject; nothing without a probe set."""
    if not probe_file(settings).is_file():
        return lambda _: ()
    probes = assembly.load_probes(settings)
    return lambda subject: assembly.known_questions(probes, subject)


def _other_model(base: ModelHost, folder: Path) -> Written:
    """The edited model of another tool.

    Raises:
        UsageError: its tokenizer is not that of the base model.
    """
    other = ModelHost.load(folder, device=str(base.device), form=base.form.name)
    if other.tokenizer.get_vocab() != base.tokenizer.get_vocab():
        raise UsageError(
            f"{folder} has another tokenizer than the base model: "
            "name the model that it was made from with --model"
        )
    return Written(
        state=AskedState(host=other, patch=Patch({})),
        placements={},
        seconds=float("nan"),
        account={"against": folder, "against_sha256": other.base_sha256},
    )
