"""`guardedit locate sweep`: choose the layers and settings of edits by trying them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_picture
from guardedit.cli.terminal.lists import layers_in
from guardedit.cli.terminal.options import MOST_SEED, Facts, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output

if TYPE_CHECKING:
    from guardedit.lab.sweep.model_sweep import ModelSweep


def sweep(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    method: Annotated[str, typer.Option(help="Editing method, as listed by `editors list`.")] = "joint",
    facts: Facts = None,
    count: Annotated[int, typer.Option(min=1, help="Number of facts edited for every candidate.")] = 24,
    layers: Annotated[
        str, typer.Option(help="Layers that may be edited, counted from 0.", metavar="N,N|all")
    ] = "all",
    vary: Annotated[
        bool,
        typer.Option("--settings/--no-settings", help="Also vary the method's settings at the best layers."),
    ] = True,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_SEED,
            help="Random seed, for the choice of facts, the method and the trace's noise.",
        ),
    ] = 0,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Output of `locate trace --output json`. Default: a small trace is made.",
            metavar="FILE.json",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Also draw tracing and editing by layer to this file.",
            metavar="FILE.png",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write/--no-write", help="Write the result as the edit card of the model.")
    ] = True,
    output: Format = Output.TABLE,
) -> None:
    """Choose layers and settings for edits by trying them.

    Edits the same facts in every single layer, and for methods that spread an edit in every window of three
    layers: each edit alone in the model, and all edits together. Then varies one setting of the method after
    the other at the best layers, and keeps what is better. Settings in the policy's editing section are not
    varied.

    The result is the edit card, which all methods use from then on; the policy overrides it. It is kept in
    the home folder by the base model's digest. To keep it with the model, copy it to `edit_card.json` in the
    model's folder.

    Causal tracing is shown for comparison. It does not predict the best layer (arXiv:2301.04213).
    """
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    wanted = layers_in(layers)
    check_picture(picture)
    from guardedit import assembly
    from guardedit.lab.choosing import cases_to_edit, model_name
    from guardedit.lab.sweep.model_sweep import base_change, check_sweep, sweep_model

    check_sweep(settings, method, trace, write=write)
    cases, texts = cases_to_edit(settings, facts, count=count, seed=seed)
    started = time.perf_counter()
    with progress("loading the model") as report:
        found = sweep_model(
            settings,
            rules,
            cases,
            texts,
            method=method,
            layers=wanted,
            vary=vary,
            seed=seed,
            trace=trace,
            tell=report,
            warn=show.warn,
        )
    card = assembly.write_card(settings, found.card) if write else None
    if card and (change := base_change(settings)):
        show.warn(f"before the next start: {change}")
    if picture is not None:
        from guardedit.lab.sweep.picture import draw_sweep

        title = f"Where {model_name(settings)} is edited: {method}, {found.facts} facts"
        draw_sweep(picture, found.result, found.effects, title=title)
    fields = {
        "base_sha256": found.card.base_sha256,
        "layer": found.card.layer,
        "layers": list(found.card.layers),
        "dials": {"edit": dict(found.card.edit), "joint": dict(found.card.joint)},
        **found.card.about,
        "card": card,
        "picture": picture,
        "seconds": time.perf_counter() - started,
    }
    if output is Output.JSON:
        show.record({**fields, "sweep": found.card.sweep}, output)
    else:
        _print(fields, found)


def _print(fields: dict[str, Any], found: ModelSweep) -> None:
    from guardedit.lab.sweep.report import place_table, problems, settings_table

    output = Output.TABLE
    for title, table in (
        ("layers: each edit alone, then all together (tog.):", place_table(found.result, found.effects)),
        ("settings at the best layers, one changed at a time:", settings_table(found.result)),
    ):
        if table:
            show.line({}, output, title)
            show.rows(table, list(table[0]), output, empty="")
    for text in problems(found.result):
        show.warn(text)
    show.line({}, output, _summary(fields))


def _summary(fields: dict[str, Any]) -> str:
    changed = ", ".join(
        f"{name} {value:g}" for part in fields["dials"].values() for name, value in part.items()
    )
    return (
        f"{fields['facts']} facts, {fields['already_said']} more left out because the model already answers "
        f"them with their targets. Layer {fields['layer']}, spread over {fields['layers']}; "
        f"changed settings: {changed or 'none'}. "
        f"Rank correlation of tracing and editing over layers: {show.cell(fields['rank_correlation'])}. "
        f"{fields['seconds']:.0f} s. Card: {fields['card'] or 'not written'}."
        + (f" Picture: {fields['picture']}" if fields["picture"] else "")
    )
