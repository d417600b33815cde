"""Evaluates a way of writing facts on cases of a data set, and other tools' edited models in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from guardedit import assembly
from guardedit.assembly.model_files import probe_file
from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.editing.registry import Registry
from guardedit.lab.choosing import check_methods
from guardedit.lab.field.asking import AskedState, AskingForms, ask_cases
from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.measures import FieldOutcome
from guardedit.lab.field.scoring import Tell
from guardedit.lab.field.selection import Selection, select
from guardedit.lab.field.through_memory import write_to_memory
from guardedit.lab.field.through_policy import temporary_system, write_by_policy
from guardedit.lab.field.through_weights import KnownQuestions, write_to_weights
from guardedit.lab.field.written import Written
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.models.text.form import RawForm
from guardedit.policy.schema import Policy
from guardedit.runtime.local import LocalSystem
from guardedit.settings import Settings


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
        through: where the facts are written.
        against: folder of the edited model, for `Through.AGAINST`.
        count: most cases.
        known: only cases that the base model knows.
        method: editing method of `weights`; "": the policy's.
        layers: layers of `weights`; empty: from the policy and the edit card.
        batch: most facts edited at once in `weights`; 0: as in the policy.
        form: form of given answers; None: `published` where facts are in the weights alone, else `served`.
        max_tokens: most tokens of a free answer; None: as many as the model's form usually takes.
        seed: of the choice of cases, of the methods and of the bootstrap.
    """

    through: Through
    against: Path | None = None
    count: int = 200
    known: bool = False
    method: str = ""
    layers: tuple[int, ...] = ()
    batch: int = 0
    form: GivenForm | None = None
    max_tokens: int | None = None
    seed: int = 0

    @property
    def given_form(self) -> GivenForm:
        """The form of given answers."""
        in_weights = self.through in (Through.WEIGHTS, Through.AGAINST)
        return self.form or (GivenForm.PUBLISHED if in_weights else GivenForm.SERVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was found.

    Attributes:
        base_sha256: digest of the base model.
        method: editing method; "" where none was chosen here.
        selection: the cases.
        base: outcome of the base model.
        written: what became of the facts.
        after: outcome after all facts.
    """

    base_sha256: str
    method: str
    selection: Selection
    base: FieldOutcome
    written: Written
    after: FieldOutcome


def check_plan(plan: EvaluationPlan) -> None:
    """Check what needs no model.

    Raises:
        UsageError: an unknown method, or an option that this way does not use.
    """
    if (plan.against is None) == (plan.through is Through.AGAINST):
        raise UsageError("give either --through or --against: another tool's model is asked as it is")
    if plan.through is not Through.WEIGHTS and (plan.method or plan.layers or plan.batch):
        raise UsageError(
            f"--method, --layers and --batch go with --through weights, not with {plan.through}: "
            "set them in the policy's editing section"
        )
    if plan.method:
        check_methods(Registry(), [plan.method])


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
        EditError: the method fails.
    """
    served = assembly.load_prompts(settings)
    published = replace(served, form=RawForm())
    given = published if plan.given_form is GivenForm.PUBLISHED else served
    forms = AskingForms(given=given, free=served, max_tokens=plan.max_tokens)
    with _opened(settings, policy, plan) as (host, system):
        chosen = select(host, cases, count=plan.count, known_only=plan.known, seed=plan.seed, tell=tell)
        unedited = AskedState(host=host, patch=Patch({}))
        base = ask_cases(unedited, chosen.cases, forms, name="the base model", tell=tell)
        corrections = [one for case in chosen.cases for one in case.corrections]
        written = _write(settings, policy, plan, corrections, host=host, system=system, tell=tell)
        after = ask_cases(written.state, chosen.cases, forms, name="the model after all facts", tell=tell)
    method = plan.method or policy.editing.method
    return Evaluation(
        base_sha256=host.base_sha256,
        method=method if plan.through in (Through.WEIGHTS, Through.POLICY) else "",
        selection=chosen,
        base=base,
        written=written,
        after=after,
    )


@contextmanager
def _opened(
    settings: Settings, policy: Policy, plan: EvaluationPlan
) -> Iterator[tuple[ModelHost, LocalSystem | None]]:
    """The base model, and the system where one is needed: it loads the model itself."""
    if plan.through is not Through.POLICY:
        yield assembly.load_host(settings), None
        return
    with temporary_system(settings, policy) as system:
        yield system.loaded.host, system


def _write(
    settings: Settings,
    policy: Policy,
    plan: EvaluationPlan,
    corrections: Sequence[Correction],
    *,
    host: ModelHost,
    system: LocalSystem | None,
    tell: Tell,
) -> Written:
    if system is not None:
        return write_by_policy(system, corrections, tell=tell)
    if plan.against is not None:
        return _other_model(host, plan.against)
    if plan.through is Through.MEMORY:
        return write_to_memory(settings, policy, host, corrections)
    tell("reading what edits are weighed against", 0, len(corrections))
    middle = plan.layers[len(plan.layers) // 2] if plan.layers else None
    setup = assembly.load_setup(
        settings, policy, layer=middle, layers=plan.layers or None, seed=plan.seed, host=host
    )
    return write_to_weights(
        setup,
        Registry().build(plan.method or policy.editing.method, setup),
        corrections,
        batch=plan.batch or policy.editing.batch,
        known_questions=_known_questions(settings),
        tell=tell,
    )


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
