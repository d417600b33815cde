"""`guardedit bench edit`: measures the speed of the default editor against its plain mode."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from guardedit.cli.bench.options import LINE_S, Seed, Threads
from guardedit.cli.terminal import show
from guardedit.cli.terminal.lists import names_in
from guardedit.cli.terminal.options import Facts, Format, Home, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


def edit(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    batch: Annotated[int, typer.Option(min=1, help="Facts that the default editor edits at once.")] = 16,
    plain: Annotated[
        int, typer.Option(min=0, help="Facts that the plain mode edits; 0: 8, or 1 with --model.")
    ] = 0,
    beside: Annotated[
        str, typer.Option(help="Other methods to measure, separated by commas.", metavar="A,B")
    ] = "",
    threads: Threads = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure edits per second of the default editor.

    Its plain mode is measured on the same model and facts for comparison. It works like reference
    implementations: one fact at a time, the whole model, a fixed number of steps. Without --facts, another
    model than the demo model is edited on public facts that it knows.

    efficacy: share of the edits' own prompts after which the model says the whole target, with all edits in
    it; efficacy_alone: with each edit alone in it. floor_seconds: the time of the counted matrix operations
    at the rate measured on this machine.
    """
    from guardedit.editing.registry import Registry
    from guardedit.lab.choosing import check_methods, setup_for_bench
    from guardedit.lab.editors.speed import compare_speed
    from guardedit.policy.load import load_policy
    from guardedit.prepare.places.edit_cases import public_cases

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    registry, others = Registry(), names_in(beside)
    check_methods(registry, others)
    with progress("loading the model", every_s=LINE_S) as report:
        setup, cases = setup_for_bench(
            settings,
            rules,
            facts,
            count=batch,
            threads=threads,
            seed=seed,
            known=partial(public_cases, seed=seed),
        )
        found = compare_speed(
            setup,
            registry.build("joint", setup),
            cases,
            batch=min(batch, len(cases)),
            plain=min(plain or (1 if settings.model else 8), len(cases)),
            others={name: registry.build(name, setup) for name in others},
            tell=report,
        )
    if output is Output.JSON:
        show.record(found, output)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    output = Output.TABLE
    columns = {"engine": found, "plain": found["plain"], **found["others"]}
    rows = [
        {"": name, **{title: f"{column[name]:.4g}" for title, column in columns.items()}}
        for name in found["plain"]
    ]
    show.rows(rows, list(rows[0]), output, empty="")
    parts = ", ".join(f"{part} {share:.0%}" for part, share in found["where"].items())
    show.line({}, output, f"Shares of the default editor's time: {parts}.")
    show.line(
        {},
        output,
        f"The default editor makes {found['ratio']:.1f} times as many edits per second as its plain mode; "
        f"{found['threads']} threads, {found['matrix_gigaflops_per_second']:.0f} gigaflops per second in "
        "matrix products.",
    )
