"""`guardedit bench consolidation`: whether the newest of many numbered facts answers."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from guardedit.cli.bench.options import LINE_S, Seed
from guardedit.cli.terminal import show
from guardedit.cli.terminal.lists import numbers_in
from guardedit.cli.terminal.options import Format, Model, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError


class Half(StrEnum):
    """Which half of the questions is asked."""

    DEVELOPMENT = "development"
    HELD_OUT = "held-out"
    BOTH = "both"


def consolidation(
    data: Annotated[Path, typer.Argument(metavar="FILE", help="A file of MQuAKE, for the pairs of facts.")],
    *,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="True facts that fill longer lists, as T-REx has them.",
            show_default=False,
        ),
    ] = None,
    patterns: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Statements for --facts, as ParaRel has them.", show_default=False),
    ] = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N", help="Words and signs of the lists; one measurement for each.")
    ] = "6000,32000",
    most: Annotated[int, typer.Option(min=1, help="Most questions of each kind.")] = 100,
    half: Annotated[Half, typer.Option(help="Which half of the questions is asked.")] = Half.HELD_OUT,
    answers: Annotated[
        int, typer.Option(min=0, help="Questions of each kind that the model answers; 0: retrieval alone.")
    ] = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure whether the newest of many numbered facts answers.

    Each pair of MQuAKE gives an old fact and a later one about the same thing. They are sent one after the
    other as corrections without a relation; then questions over one fact and over two are looked up. right:
    the newest target; outdated: an older one; nothing: no fact at all.

    After the list, the checklist of a correction benchmark, each with the share that is wanted.
    """
    counts = numbers_in("--sizes", sizes)
    if not counts:
        raise UsageError("--sizes is empty: give the sizes of the lists, as in 6000,32000")
    if (facts is None) != (patterns is None):
        raise UsageError("--facts and --patterns go together")
    from guardedit import assembly
    from guardedit.lab.consolidation.checklist import checklist
    from guardedit.lab.consolidation.measure import Choice, answer, retrieve
    from guardedit.lab.consolidation.numbered import filling_pairs, mquake_pairs, numbered
    from guardedit.policy.load import load_policy

    settings = settings_from(policy=policy, model=model)
    rules = load_policy(settings.policy)
    pairs = mquake_pairs(data)
    filling = filling_pairs(facts, patterns, pairs, seed=seed) if facts and patterns else ()
    everything = list(chain(pairs, filling))
    choice = Choice(most, None if half is Half.BOTH else half is Half.HELD_OUT, seed)
    found: list[dict[str, Any]] = []
    with progress("loading", every_s=LINE_S) as report, tempfile.TemporaryDirectory() as folder:
        host = assembly.load_host(settings) if answers else None
        memory = assembly.load_memory(settings, rules)
        for count in counts:
            lines, place = numbered(everything, count, seed=seed), Path(folder, str(len(found)))
            filled = memory.empty()
            made = retrieve(lines, filled, place / "list", choice=choice, clock=time.time, tell=report)
            rows = dict(made.rows)
            if host is not None:
                fewer = choice._replace(most=min(most, answers))
                rows |= answer(lines, filled, host, settings, rules, choice=fewer)
            items = checklist(
                lines,
                memory.empty(),
                place / "checklist",
                most=most,
                seed=seed,
                clock=time.time,
                tell=report,
            )
            measures = {name: {**asdict(one), "share": one.share} for name, one in rows.items()}
            found.append(
                {
                    "size": made.size,
                    "facts": made.facts,
                    "live": made.live,
                    "measures": measures,
                    "checklist": [item._asdict() for item in items],
                }
            )
    if output is Output.JSON:
        show.record({"half": half.value, "seed": seed, "sizes": found}, output)
        return
    _print(found)


def _print(found: list[dict[str, Any]]) -> None:
    rows = [
        {"size": one["size"], "facts": one["facts"], "measure": name, **row, "share": f"{row['share']:.3f}"}
        for one in found
        for name, row in one["measures"].items()
    ]
    columns = ("size", "facts", "measure", "asked", "right", "outdated", "nothing", "share")
    show.rows(rows, columns, Output.TABLE, empty="")
    items = [
        {"size": one["size"], **item, "share": f"{item['share']:.3f}", "wanted": f"{item['wanted']:g}"}
        for one in found
        for item in one["checklist"]
    ]
    show.rows(items, ("size", "name", "cases", "share", "wanted"), Output.TABLE, empty="")
