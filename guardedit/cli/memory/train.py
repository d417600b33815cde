"""`guardedit memory train`: train the judge of scope, also on one's own relations and labelled questions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import Format, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.memory.fitting.judge import FittedJudge, KindMeasure

#: Layers of the encoder that a judge from scratch begins with: all that all-MiniLM-L6-v2 has.
LAYERS = 6


def train(
    *,
    out: Annotated[Path, typer.Option(help="Where to write the judge.", metavar="FILE.safetensors")],
    labelled: Annotated[
        list[Path] | None,
        typer.Option(
            help="Labelled questions as JSON Lines: kind, facts, question, wanted; may be repeated.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    relations: Annotated[
        list[Path] | None,
        typer.Option(
            help="Folder of *.jsonl with relations and their wordings, beside the shipped ones.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Begin with the encoder, not with the judge in use.")
    ] = False,
    epochs: Annotated[
        int, typer.Option(min=1, max=100, help="Passes over the training pairs; 8 from scratch is usual.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the pairs and their order.")] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Train the judge that decides whether a question asks for a fact.

    It is trained on pairs made from hand-written relations, the shipped ones and those of --relations, and on
    two thirds of the rows of --labelled. Relations and rows that it was not trained on say how good it is,
    beside the judge in use. An epoch takes some four minutes on one core that multiplies in bfloat16, ten on
    others.

    Where GUARDEDIT_JUDGE names the file, it takes effect at the next start; choose its thresholds on your own
    questions with `guardedit memory calibrate`.
    """
    if not out.absolute().parent.is_dir() or out.is_dir():
        raise UsageError(f"the judge cannot be written to {out}: name a file in a folder that exists")
    from guardedit.lab.scope.rows import read_scope_rows
    from guardedit.memory.fitting.relations import FOLDER, load_relations

    settings = settings_from()
    rows = [row for path in labelled or () for row in read_scope_rows(path)]
    wordings = load_relations([FOLDER, *(relations or ())])
    with progress("loading the encoder") as report:
        from guardedit.assembly.scope import load_judge
        from guardedit.lab.scope.training import divided, pairs_of
        from guardedit.memory.encoder import SentenceEncoder
        from guardedit.memory.fitting.judge import fit_judge
        from guardedit.memory.fitting.training import Schedule

        encoder = SentenceEncoder.load(settings.encoder or None)
        own, used = divided(rows), load_judge(settings)
        fitted = fit_judge(
            encoder,
            wordings,
            layers=LAYERS,
            schedule=Schedule(epochs=epochs, seed=seed),
            own=pairs_of(encoder, own.used, tell=report),
            own_held_out=pairs_of(encoder, own.held_out, tell=report),
            start=None if from_scratch else used,
            beside=used,
            tell=lambda step, steps, loss: report(f"training, loss {loss:.3f}", step, steps),
        )
    try:
        fitted.judge.save(out)
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}; name another file") from error
    _print(fitted, out, output)


def _print(fitted: FittedJudge, out: Path, output: Output) -> None:
    rows = [_row(*pair) for pair in zip(fitted.measures, fitted.before, strict=True)]
    if output is Output.JSON:
        body = asdict(fitted.judge.about)
        show.record({"written": out, **body, "held_out": list(body["held_out"]), "kinds": rows}, output)
        return
    show.rows(rows, ("kind", "in_scope", "pairs", "wrong_before", "wrong"), output, empty="")
    show.page(f"written to {out}: set GUARDEDIT_JUDGE={out}")


def _row(now: KindMeasure, before: KindMeasure) -> dict[str, Any]:
    return {
        "kind": now.kind,
        "in_scope": now.in_scope,
        "pairs": now.pairs,
        "wrong_before": round(1 - before.right / before.pairs, 4),
        "wrong": round(1 - now.right / now.pairs, 4),
    }
