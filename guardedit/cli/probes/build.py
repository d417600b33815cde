"""`guardedit probes build`: makes the probe set of a model."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.probes.options import ModelName
from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output

if TYPE_CHECKING:
    from guardedit.prepare.probes.estimate import Estimate


def build(
    model: ModelName = None,
    *,
    home: Home = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Facts to ask for: JSON Lines with subject, relation and object. Default: the public facts "
            "that come with guardedit.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="General texts for perplexity: a text a line, JSON Lines with text, or a JSON list. "
            "Default: those that come with guardedit.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    questions: Annotated[
        int, typer.Option(min=1, help="Most facts in the probe set; each is asked for in two wordings.")
    ] = 400,
    noise: Annotated[
        int, typer.Option(min=0, help="Number of harmless changes under which every answer must stay.")
    ] = 3,
    seed: Annotated[
        int, typer.Option(min=0, max=MOST_SEED, help="Random seed, for the order of facts and the noise.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Where to write the probe set. Default: probes.json in the model's folder.",
            metavar="FILE.json",
            show_default=False,
        ),
    ] = None,
    output: Format = Output.TABLE,
) -> None:
    """Build the probe set of a model: general texts, and questions that the model answers rightly and stably.

    Each fact is asked for in two wordings in the form in which the model is served: questions for a chat
    model, beginnings of statements for others. A fact is kept if the object is what the model says in both
    answers, also after small random changes of the weights. Facts are tried with relations and objects in
    turn, until there are enough.

    Results are kept in the home folder, so that a build that was stopped goes on where it was.
    """
    from guardedit.prepare.probes.job import BuildRequest, build_probes

    asked = BuildRequest(facts=facts, texts=texts, questions=questions, noise=noise, seed=seed, path=out)
    settings = settings_from(home, model=model)
    started = time.perf_counter()
    with progress("loading the model") as report:
        path, found = build_probes(settings, asked, tell=report, say=_say)
    fields = {
        "path": path,
        "screened": found.screened,
        "asked": found.asked,
        "known": found.known,
        "stable": found.stable,
        "questions": len(found.rows),
        "seconds": time.perf_counter() - started,
    }
    text = (
        f"{path}: {len(found.rows)} questions. Of {found.screened} facts {found.asked} were asked for, "
        f"{found.known} are known in both wordings, {found.stable} stay under noise. "
        f"{fields['seconds']:.0f} s."
    )
    show.line(fields, output, text)


def _say(found: Estimate) -> None:
    show.warn(f"{found.facts} facts to try: about {max(1, round(found.seconds / 60))} min")
