"""`guardedit editors compare`: measure several editing methods on the same facts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.editors.options import Batch, Sequential, Single
from guardedit.cli.editors.tables import print_results
from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_picture
from guardedit.cli.terminal.lists import names_in, numbers_in
from guardedit.cli.terminal.options import MOST_SEED, Facts, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.lab.editors.compare import MethodResult


def compare(
    *,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names of methods, separated by commas. A + adds a filter, as in memit+rect. Default: all.",
            metavar="A,B,C",
            show_default=False,
        ),
    ] = None,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    single: Single = 100,
    sequential: Sequential = 128,
    batch: Batch = 16,
    checkpoints: Annotated[
        str | None,
        typer.Option(
            help="Numbers of edits in the sequence after which to measure. Default: 1, 2, 4 and so on, and "
            "the last.",
            metavar="N,N",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        int,
        typer.Option(min=1, help="Most questions of each kind at a checkpoint, besides the edits' prompts."),
    ] = 400,
    collapsed: Annotated[
        float,
        typer.Option(
            min=1,
            help="A method's sequence ends at the first checkpoint where perplexity is this many times the "
            "base model's.",
        ),
    ] = 10.0,
    seed: Annotated[
        int,
        typer.Option(min=0, max=MOST_SEED, help="Random seed, for the choice of facts and for the methods."),
    ] = 0,
    layer: Annotated[
        int | None,
        typer.Option(
            help="Layer for methods that edit one layer. Default: from the policy, else the edit card.",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers for methods that spread an edit. Default: from the edit card, else the one layer.",
            metavar="N,N",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Also draw the curves over the sequence to this file.",
            metavar="FILE.png",
            show_default=False,
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Measure editing methods on the same facts.

    Each method makes every edit once alone on the base model, and then edits in sequence, on top of each
    other, with measurements at checkpoints. A method that fails is reported, and the next one runs.

    Shares of questions answered with the whole target, by free generation: reliability (the edit's own
    prompt), generalization (wordings that the method was not given), locality (subjects that are not
    edited), same_subject (other facts of the edited subject), portability (the subject by another name,
    after an unrelated sentence, or the relation reversed). Questions that the base model cannot answer are
    not counted. Also perplexity over the base model's, seconds and bytes for each edit.

    The second half of a correction's paraphrases is not given to the methods and used for questions.
    Questions about other subjects come from the model's probe set, and methods do not see them.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    names = _method_names(methods)
    asked_at = numbers_in("--checkpoints", checkpoints, at_least=1)
    several = numbers_in("--layers", layers)
    check_picture(picture)
    from guardedit import assembly
    from guardedit.editing.registry import Registry
    from guardedit.lab.choosing import cases_to_edit, check_methods, model_name, unknown_to
    from guardedit.lab.editors.compare import Plan
    from guardedit.lab.editors.compare import compare as compare_methods

    cases, texts = cases_to_edit(settings, facts, count=max(single, sequential), seed=seed)
    registry = Registry()
    names = names or registry.names
    check_methods(registry, names)
    plan = Plan(
        single=single,
        sequential=sequential,
        batch=batch,
        checkpoints=asked_at,
        most=questions,
        collapsed=collapsed,
    )
    started = time.perf_counter()
    with progress("loading the model") as report:
        setup = assembly.load_setup(settings, rules, layer=layer, layers=several or None, seed=seed)
        report("asking the base model")
        editable = unknown_to(setup.host, cases)
        found = compare_methods(setup, names, editable, texts, plan, registry=registry, tell=report)
    if picture is not None:
        from guardedit.lab.editors.picture import draw_comparison

        edits = min(sequential, len(editable))
        title = f"Editing methods on {model_name(settings)}: {edits:,} edits in sequence, {batch} at a time"
        draw_comparison(picture, found, title=title)
    about = {
        "base_sha256": setup.host.base_sha256,
        "seed": seed,
        "layer": setup.layer,
        "layers": list(setup.layers),
        "batch": batch,
        "facts": len(editable),
        "already_said": len(cases) - len(editable),
        "picture": picture,
        "seconds": time.perf_counter() - started,
    }
    _print(about, found, output)


def _method_names(text: str | None) -> tuple[str, ...]:
    """The methods that were named; empty for all of them."""
    names = names_in(text)
    if text is not None and not names:
        raise UsageError(f"--methods {text!r} names no method: leave it out to run all of them")
    return names


def _print(about: dict[str, Any], found: Sequence[MethodResult], output: Output) -> None:
    from guardedit.lab.editors.report import numbers

    if output is Output.JSON:
        show.record({**about, "methods": numbers(found)}, output)
        return
    print_results(found)
    picture = about["picture"]
    show.line(
        {},
        output,
        f"{about['facts']} facts, {about['already_said']} more left out because the model already answers "
        f"them with their targets; layer {about['layer']}, spread over {about['layers']}; "
        f"{about['seconds']:.0f} s." + (f" Picture: {picture}" if picture else ""),
    )
