"""`guardedit evaluate`: the published data sets and metrics, for this system and for other tools' models."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_picture
from guardedit.cli.terminal.lists import choices_in, factors_in, names_in, numbers_in
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.lab.field.evaluate import Evaluation
    from guardedit.lab.field.plan import EvaluationPlan
    from guardedit.lab.field.report import Summaries
    from guardedit.settings import Settings


class DataSet(StrEnum):
    """Values of the argument DATASET."""

    COUNTERFACT = "counterfact"
    ZSRE = "zsre"
    WIKIBIGEDIT = "wikibigedit"
    QAEDIT = "qaedit"
    MQUAKE = "mquake"


class FormOption(StrEnum):
    """Values of `--form`."""

    PUBLISHED = "published"
    SERVED = "served"


def evaluate(
    dataset: Annotated[DataSet, typer.Argument(help="Data set, which decides how the file is read.")],
    file: Annotated[Path, typer.Argument(help="Its file: a JSON list or JSON Lines.", metavar="FILE")],
    *,
    through: Annotated[
        str | None,
        typer.Option(
            help="Where the facts are written: memory for all in memory, weights for all in the weights "
            "without a guard, policy for as the policy and the guard decide. Several, separated by commas, "
            "each start with the base model.",
            metavar="A,B",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --through: folder of a model that another tool has edited with the same facts; "
            "--model is the one before its edits.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option("--n", min=1, help="Most cases, chosen by the seed.")] = 200,
    known: Annotated[
        bool,
        typer.Option(
            "--known",
            help="Only cases whose true object the base model gives under the own prompt. Without it, all "
            "cases are edited, and the metrics are shown for all and for these.",
        ),
    ] = False,
    method: Annotated[
        str | None,
        typer.Option(
            help="Editing method of --through weights, or several separated by commas: each starts with the "
            "base model. Default: the policy's.",
            metavar="A,B",
            show_default=False,
        ),
    ] = None,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone",
            help="In --through weights, edit every case by itself, ask only its own questions, and take the "
            "edit out again.",
        ),
    ] = False,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers of --through weights; a method with one layer edits the middle one. Default: from "
            "the policy, else the edit card.",
            metavar="N,N",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most facts edited at once in --through weights. Default: the policy's.",
            show_default=False,
        ),
    ] = None,
    prices: Annotated[
        str | None,
        typer.Option(
            help="Factors on what an edit of --through weights pays for changing other texts. With several, "
            "each method is run at each of them, on the base model.",
            metavar="N,N",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="What facts do to an answer in --through memory: context, demonstrations or constrained. "
            "Several, separated by commas, are measured in turns. Default: the policy's.",
            metavar="A,B",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        FormOption | None,
        typer.Option(
            help="How the questions of given answers are put: the data set's text as it is, or as the system "
            "asks the model. Default: published where the facts are in the weights alone, else served.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most tokens of a free answer. Default: as when the model is served.",
            show_default=False,
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="Texts for perplexity: a text a line, JSON Lines with text, or a JSON list. Default: "
            "shipped texts that are in no probe set.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Also draw metrics over perplexity to this file, with a line through each method's prices.",
            metavar="FILE.png",
            show_default=False,
        ),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="JSON output of another evaluation, whose results are marked in the picture.",
            metavar="FILE.json",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=MOST_SEED, help="Seed of the choice of cases, of the methods and of the intervals."
        ),
    ] = 0,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
) -> None:
    """Evaluate on a published data set, with its published metrics.

    The base model is asked, all facts are written, and then everything is asked again, after all edits.

    Answers that are given to the model: ES, PS, NS and their magnitudes EM, PM, NM, with S the harmonic mean
    (CounterFact, by the mean log-probability of an answer's tokens); reliability, generalization, locality
    and portability (zsRE, share of tokens that are the most likely ones; locality against the base model).
    Free answers in the form that is served: whether they name the object, and whether they are nothing else;
    multi_hop is MQuAKE's accuracy. perplexity is that of the edited weights over the base model's.

    Bounds are those of 95 % intervals. The ledger in the home folder is not touched; second moments are kept
    there.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    edited = numbers_in("--layers", layers)
    ways = choices_in("--through", through, ("memory", "weights", "policy"))
    strategies = choices_in("--strategy", strategy, ("context", "demonstrations", "constrained"))
    from guardedit.lab.field.evaluate import evaluate as evaluate_cases
    from guardedit.lab.field.formats.reading import read_cases
    from guardedit.lab.field.frontier import draw_frontier, read_marks
    from guardedit.lab.field.plan import EvaluationPlan, GivenForm, Through, check_plan
    from guardedit.lab.field.report import summaries
    from guardedit.lab.field.scoring import paced
    from guardedit.prepare.probes.texts import held_out_texts, read_own_texts

    plan = EvaluationPlan(
        through=(Through.AGAINST,) if through is None else tuple(map(Through, ways)),
        against=against,
        count=count,
        known=known,
        methods=names_in(method),
        alone=alone,
        layers=tuple(sorted(edited)),
        prices=factors_in("--prices", prices),
        batch=batch or 0,
        form=None if form is None else GivenForm(form),
        strategies=tuple(strategies),
        max_tokens=max_tokens,
        texts=read_own_texts(texts) if texts else held_out_texts(),
        seed=seed,
    )
    check_plan(plan)
    if picture is not None and plan.through == (Through.MEMORY,):
        raise UsageError(
            "--picture draws over perplexity, which the memory leaves as it is: edit the weights"
        )
    check_picture(picture)
    if beside is not None and picture is None:
        raise UsageError("--beside is drawn into a picture: name one with --picture")
    marks = read_marks(beside) if beside else []
    cases = read_cases(dataset, file)
    started = time.perf_counter()
    with progress("loading the model") as report:
        found = evaluate_cases(settings, rules, cases, plan, tell=paced(report))
    about = {
        "dataset": dataset,
        **_origin(settings, file, rules.sha256),
        "rows_in_file": len(cases),
        "max_tokens": max_tokens,
        "seconds": time.perf_counter() - started,
    }
    shown = summaries(found, plan)
    if picture is not None:
        draw_frontier(picture, shown, marks=marks, title=f"{dataset}: {about['model']}, {len(cases)} cases")
        about["picture"] = picture
    _print(found, plan, about, shown, output)


def _origin(settings: Settings, file: Path, policy_sha256: str) -> dict[str, Any]:
    """Where data, model and policy come from."""
    from guardedit.assembly.base_parts import digest_of

    return {
        "file": file,
        "file_sha256": digest_of(file),
        "model": settings.model or "embedded",
        "policy": settings.policy,
        "policy_sha256": policy_sha256,
    }


def _print(
    found: Evaluation, plan: EvaluationPlan, about: dict[str, Any], shown: Summaries, output: Output
) -> None:
    from guardedit.lab.field.report import numbers, table, table_of_ways

    if output is Output.JSON:
        show.record({**about, **numbers(found, plan, shown)}, output)
        return
    rows = table(shown) if len(found.ways) == 1 else table_of_ways(found, shown)
    show.rows(rows, list(rows[0]), output, empty="")
    for way in found.ways:
        if way.problem:
            show.line({}, output, f"{way.method} failed: {way.problem}")
    left_out = {name: number for name, number in found.selection.left_out.items() if number}
    placed = found.ways[0].written.placements if len(found.ways) == 1 and found.ways[0].written else {}
    show.line(
        {},
        output,
        f"{len(found.selection.cases)} cases, {len(found.selection.known)} known to the base model; "
        f"left out: {show.cell(left_out)}. "
        + (f"Facts: {show.cell(dict(placed))}. " if placed else "")
        + f"Given answers in the {plan.given_form} form. {about['seconds']:.0f} s.",
    )
