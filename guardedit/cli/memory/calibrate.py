"""`guardedit memory calibrate`: choose the scope test's thresholds on one's own labelled questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import check_output, write_text
from guardedit.cli.terminal.options import Format, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

if TYPE_CHECKING:
    from guardedit.lab.scope.calibrating import Calibration
    from guardedit.lab.scope.results import Share


def calibrate(
    *,
    labelled: Annotated[
        Path,
        typer.Option(
            help="Labelled questions as JSON Lines: kind, facts, question, wanted.", metavar="FILE.jsonl"
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the thresholds.", metavar="FILE.json")],
    at_most: Annotated[
        float,
        typer.Option(help="Largest share of out-of-scope questions that may get a fact, above 0, below 1."),
    ] = 0.01,
    confidence: Annotated[
        float, typer.Option(help="Confidence that the limit holds, above 0.5, below 1.")
    ] = 0.95,
    policy: PolicyFile = None,
    output: Format = Output.TABLE,
) -> None:
    """Choose the memory's thresholds so that few out-of-scope questions get a fact.

    The limit holds, with the confidence, for all questions of which the labelled ones are a fair sample; a
    question in doubt counts as one that gets the fact. Too few out-of-scope questions cannot promise a small
    limit: then this says how many are needed, and writes nothing.

    Where GUARDEDIT_BANDS names the file, it takes effect at the next start.
    """
    from guardedit.policy.load import load_policy

    if not 0 < at_most < 1:
        raise UsageError(f"--at-most {at_most:g} is not between 0 and 1: 0.01 is one question in a hundred")
    if not 0.5 < confidence < 1:
        raise UsageError(f"--confidence {confidence:g} is not between 0.5 and 1: 0.95 is usual")
    check_output("--out", out)
    settings = settings_from(policy=policy)
    rules = load_policy(settings.policy)
    from guardedit.lab.scope.calibrating import allowed, calibrate_bands, too_few
    from guardedit.lab.scope.rows import read_scope_rows

    rows = read_scope_rows(labelled)
    outside = sum(row.key is None for row in rows)
    if allowed(outside, at_most, confidence) < 0:
        raise UsageError(too_few(outside, at_most, confidence))
    from guardedit.assembly.scope import load_judge, scope_thresholds
    from guardedit.memory.encoder import SentenceEncoder

    with progress("loading the encoder") as report:
        judge = load_judge(settings)
        found = calibrate_bands(
            SentenceEncoder.load(settings.encoder or None),
            scope_thresholds(settings, rules, judge),
            judge,
            rows,
            at_most=at_most,
            confidence=confidence,
            tell=report,
        )
    write_text(out, found.bands.to_text())
    _print(found, out, output)


def _print(found: Calibration, out: Path, output: Output) -> None:
    from guardedit.lab.scope.calibrating import smallest_limit

    bands = found.bands
    smallest = smallest_limit(bands.out_of_scope_rows, bands.confidence)
    if output is Output.JSON:
        shares = {"given": found.given, "answered": found.answered}
        show.record(
            {
                "accept_threshold": bands.accept,
                "unsure_threshold": bands.unsure,
                "at_most": bands.at_most,
                "confidence": bands.confidence,
                "smallest_limit": smallest,
                **{name: _numbers(share) for name, share in shares.items()},
                **{
                    f"{name}_before": _numbers(share)
                    for name, share in zip(shares, found.before, strict=True)
                },
                "rows_sha256": bands.rows_sha256,
                "written": out,
            },
            output,
        )
        return
    show.rows(
        [
            {"rows": "out of scope, get a fact", "before": _text(found.before[0]), "now": _text(found.given)},
            {
                "rows": "in scope, get their fact",
                "before": _text(found.before[1]),
                "now": _text(found.answered),
            },
        ],
        ("rows", "before", "now"),
        output,
        empty="",
    )
    show.page(
        f"At most {bands.at_most:.2%} of out-of-scope questions get a fact, with {bands.confidence:.0%} "
        f"confidence. {bands.out_of_scope_rows} out-of-scope rows could promise {smallest:.2%}.\n"
        f"written to {out}: set GUARDEDIT_BANDS={out}, or write into the policy\n"
        f"memory: {{accept_threshold: {bands.accept:g}, unsure_threshold: {bands.unsure:g}}}"
    )


def _numbers(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {"count": share.mistakes, "rows": share.rows, "share": share.value, "low": low, "high": high}


def _text(share: Share) -> str:
    if not share.rows:
        return "no rows"
    low, high = share.interval
    return f"{share.mistakes} of {share.rows}, {share.value:.3f} [{low:.3f}, {high:.3f}]"
