"""`guardedit editors compare`: several methods on the same facts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.measuring import (
    Batch,
    Facts,
    Sequential,
    Single,
    bar,
    facts_to_edit,
    names_in,
    numbers_in,
    show_measured,
    unsaid,
)
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import (
    MOST_SEED,
    Format,
    Home,
    Model,
    PolicyFile,
    check_picture,
    settings_from,
)
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.editing.registry import Registry
    from guardedit.lab.editors.compare import Measured


def compare(
    *,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Names, with commas between; additions with +, as in memit+rect. Else all.",
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
            help="After how many edits to ask; else 1, 2, 4 ... and the last.",
            metavar="N,N",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        int, typer.Option(min=1, help="Most questions of each kind at a checkpoint, own prompts aside.")
    ] = 400,
    collapsed: Annotated[
        float,
        typer.Option(min=1, help="Perplexity over the base's at a checkpoint that ends a method's sequence."),
    ] = 10.0,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Of the choice of facts and of what methods sample.")
    ] = 0,
    layer: Annotated[
        int | None,
        typer.Option(help="Where one layer is edited; else as the edit card says.", show_default=False),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Where a change is spread; else as the edit card says, else that one layer.",
            metavar="N,N",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Curves as PNG.", metavar="FILE.png", show_default=False)
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Measure editing methods on the same facts: each edit alone, and all in sequence, asked after all.

    By free generation of the whole answer: reliability (the edit's prompt), generalization (wordings the
    method was not given), locality (subjects never edited), same subject (its other facts), portability
    (the subject by another name, after an unrelated sentence, the relation reversed), counting only what
    the base model answers. Then perplexity over the base model's, seconds and bytes an edit. A method that
    fails is reported, and the others go on.

    Of a correction's paraphrases the second half is kept from the methods and asked. Other subjects come
    from the model's probe set; methods are not shown those that are asked.
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    wanted = _Wanted.read(methods, checkpoints, layers)
    check_picture(picture)
    cases, texts = facts_to_edit(settings, facts, count=max(single, sequential), seed=seed)
    from guardedit import assembly
    from guardedit.editing.registry import Registry
    from guardedit.lab.editors.compare import Plan
    from guardedit.lab.editors.compare import compare as run

    registry = Registry()
    names = wanted.methods or registry.names
    _check_names(registry, names)
    started = time.perf_counter()
    setup = assembly.load_setup(settings, rules, layer=layer, layers=wanted.layers or None, seed=seed)
    plan = Plan(
        single=single,
        sequential=sequential,
        batch=batch,
        checkpoints=wanted.checkpoints,
        most=questions,
        collapsed=collapsed,
    )
    with bar() as tell:
        good = unsaid(setup.host, cases)
        found = run(setup, names, good, texts, plan, registry=registry, tell=tell)
    if picture is not None:
        from guardedit.lab.editors.picture import draw_comparison

        draw_comparison(picture, found, title=_title(settings, min(sequential, len(good)), batch))
    about = {
        "base_sha256": setup.host.base_sha256,
        "seed": seed,
        "layer": setup.layer,
        "layers": list(setup.layers),
        "batch": batch,
        "facts": len(good),
        "already_said": len(cases) - len(good),
        "picture": picture,
        "seconds": time.perf_counter() - started,
    }
    _show(about, found, output)


@dataclass(frozen=True)
class _Wanted:
    """The options that are lists."""

    methods: tuple[str, ...]
    checkpoints: tuple[int, ...]
    layers: tuple[int, ...]

    @staticmethod
    def read(methods: str | None, checkpoints: str | None, layers: str | None) -> _Wanted:
        """UsageError for what is no list of names or of numbers."""
        names = names_in(methods)
        if methods is not None and not names:
            raise UsageError(f"--methods {methods!r} names no method: leave it out for all of them")
        return _Wanted(
            names, numbers_in("--checkpoints", checkpoints, at_least=1), numbers_in("--layers", layers)
        )


def _check_names(registry: Registry, names: Sequence[str]) -> None:
    """UsageError for an unknown method or addition, before the model is loaded."""
    from guardedit.editing.filters import find_filter
    from guardedit.editing.registry import ANCHORED, SEPARATOR

    for name in names:
        method, *additions = name.split(SEPARATOR)
        registry.resolve(method)
        for addition in additions:
            if addition != ANCHORED:
                find_filter(addition)


def _title(settings: Settings, edits: int, batch: int) -> str:
    name = Path(settings.model).name if settings.model else "the demo model"
    return f"Editing methods on {name}: {edits:,} edits in sequence, {batch} at a time"


def _show(about: dict[str, Any], found: Sequence[Measured], output: Output) -> None:
    from guardedit.lab.editors.report import numbers

    if output is Output.JSON:
        show.record({**about, "methods": numbers(found)}, output)
        return
    show_measured(found, output)
    picture = about["picture"]
    show.line(
        {},
        output,
        f"{about['facts']} facts, {about['already_said']} left out because the model says so already; "
        f"layer {about['layer']}, spread over {about['layers']}; {about['seconds']:.0f} s."
        + (f" Picture: {picture}" if picture else ""),
    )
