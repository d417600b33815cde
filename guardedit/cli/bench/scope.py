"""`guardedit bench scope`: whether the memory knows which questions its facts answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.bench.options import Seed
from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_output, check_picture, write_text
from guardedit.cli.terminal.lists import numbers_in
from guardedit.cli.terminal.options import Format, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.core.fact import Fact
    from guardedit.lab.scope.public import PublicData
    from guardedit.lab.scope.rows import ScopeRow

#: Vectors that the encoder keeps: those of all texts of the largest store. 384 numbers of four bytes each.
CACHE_ROWS = 500_000


def scope(
    *,
    policy: PolicyFile = None,
    rows: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled rows as JSON Lines, beside the shipped ones; can be given several times.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder with CounterFact, zsRE, MQuAKE, T-REx and its patterns as published; rows are made "
            "from it, and facts to fill the stores with.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Only the rows of --rows: no shipped ones, and none from --data.")
    ] = False,
    count: Annotated[
        int, typer.Option("--n", min=1, help="Most rows of each kind that are made from --data.")
    ] = 300,
    stores: Annotated[
        str, typer.Option(help="Numbers of facts in the store; every row is asked in each.", metavar="N,N")
    ] = "1,10,150,1000,10000",
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Also draw the reliability diagram to this file.", metavar="FILE.png", show_default=False
        ),
    ] = None,
    wrong: Annotated[
        Path | None,
        typer.Option(
            "--mistakes",
            help="Also write every mistake to this file, as JSON Lines.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Measure whether the memory knows which questions its facts answer.

    Counts mistakes for each kind of question: `out`, a question that a fact answers gets none; `in`, a
    question that no fact answers gets one; `wrong`, it gets another fact. A question in doubt counts as one
    that gets the fact, as `unsure: use_fact` has it.

    Beside the scope test stands plain cosine similarity to the nearest fact. Its one threshold is chosen on
    one half of the rows for the other half. Bounds are those of 95 % intervals; goals are for every store.
    """
    from guardedit.policy.load import load_policy

    sizes = tuple(sorted(set(numbers_in("--stores", stores, at_least=1))))
    if not sizes:
        raise UsageError("--stores is empty: give the numbers of facts in the store, as in 1,1000")
    if only and not rows:
        raise UsageError("--only goes with --rows: name a file of rows")
    check_picture(picture)
    check_output("--mistakes", wrong)
    settings = settings_from(policy=policy)
    from guardedit.assembly.scope import load_judge, scope_thresholds
    from guardedit.lab.field.scoring import paced
    from guardedit.lab.scope.picture import draw_reliability
    from guardedit.lab.scope.public import read_public
    from guardedit.lab.scope.report import comparison, mistakes, numbers, summary, table_of
    from guardedit.lab.scope.rows import read_scope_rows, written_rows
    from guardedit.lab.scope.run import largest_store, run
    from guardedit.lab.scope.ways import COSINE, ways
    from guardedit.memory.encoder import SentenceEncoder

    rules, public = load_policy(settings.policy), read_public(data) if data else None
    given = [row for path in rows or () for row in read_scope_rows(path)]
    asked = given if only else [*given, *written_rows(), *_made(public, count, seed)]
    fillers = _fillers(public, seed)
    largest = largest_store(asked, fillers)
    if largest < max(sizes):
        show.warn(f"there are only {largest:,} facts to fill a store with: give --data for larger stores")
    found = []
    with progress("loading the encoder") as report:
        encoder = SentenceEncoder.load(settings.encoder or None, cache_rows=CACHE_ROWS)
        judge = load_judge(settings)
        tests = ways(scope_thresholds(settings, rules, judge), judge)
        for way in run(encoder, tests, asked, fillers, sizes, tell=paced(report)):
            found.append(way)
            if output is Output.TABLE:  # at once: the next one may take long
                show.page(f"\n{way.name}")
                shown = table_of(way, sizes)
                show.rows(shown, list(shown[0]), output, empty="")
    about: dict[str, Any] = {
        "policy": settings.policy,
        "policy_sha256": rules.sha256,
        "encoder_sha256": encoder.sha256,
        "judge_sha256": judge.sha256 if judge else "",
        "files": [str(path) for path in (*(rows or ()), *(public.files if public else ()))],
        "seed": seed,
        "n": count,
    }
    if picture is not None:
        scores = {way.name: way.found for way in found if way.name != COSINE}
        draw_reliability(
            picture,
            scores,
            title=f"Scores of the scope test: {len(asked):,} questions in {len(sizes)} stores",
        )
        about["picture"] = picture
    if wrong is not None:
        write_text(wrong, "".join(json.dumps(one) + "\n" for one in mistakes(found)))
        about["mistakes"] = wrong
    if output is Output.JSON:
        show.record({**about, **numbers(found, asked, sizes)}, output)
        return
    compared = comparison(found)
    show.page("\nin the worst store of each kind")
    show.rows(compared, list(compared[0]), output, empty="")
    show.page("\n" + "\n".join(summary(found)))


def _made(public: PublicData | None, count: int, seed: int) -> list[ScopeRow]:
    from guardedit.lab.scope.made import made_rows

    return [] if public is None else made_rows(public, count=count, seed=seed)


def _fillers(public: PublicData | None, seed: int) -> list[Fact]:
    """Facts to fill stores with: from the public data, and the shipped ones."""
    from guardedit.agent.deciding import first_version
    from guardedit.lab.scope.made import filler_facts
    from guardedit.prepare.announcing import public_corrections

    read = [] if public is None else filler_facts(public, seed=seed)
    return [*read, *map(first_version, public_corrections(seed))]
