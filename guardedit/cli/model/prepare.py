"""`guardedit model prepare`: makes everything that a model needs to be edited."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, PolicyFile, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def prepare(
    name: Annotated[str, typer.Argument(help="A name listed by `model list`, or a folder.")],
    *,
    home: Home = None,
    policy: PolicyFile = None,
    facts: Annotated[
        Path | None,
        typer.Option(
            help="Facts that the model may know: JSON Lines with subject, relation and object. Default: the "
            "public facts that come with guardedit.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            help="General texts for perplexity. Default: those that come with guardedit.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Time for the search of layers and settings.", metavar="TIME, such as 10m")
    ] = "10m",
    questions: Annotated[int, typer.Option(min=1, help="Most facts in the probe set.")] = 400,
    again: Annotated[
        list[str] | None,
        typer.Option(
            help="Make this file again, such as edit_card.json.", metavar="FILE", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Random seed.")] = 0,
    output: Format = Output.TABLE,
) -> None:
    """Make everything that a model needs: background, layers and settings, probes, announcement, noise.

    Files that are in the model's folder already are kept, so a preparation that was stopped goes on where it
    was. It ends with a page about what was found and what to expect, `prepared.md` in the model's folder.

    A policy that never routes to the weights, such as memory-only, needs none of it.
    """
    from guardedit.policy.load import load_policy
    from guardedit.prepare.page import PREPARED_PAGE
    from guardedit.prepare.preparing import Preparation, PrepareRequest, with_model

    request = PrepareRequest(
        facts=facts,
        texts=texts,
        budget_s=seconds_in(budget),
        questions=questions,
        seed=seed,
        again=frozenset(again or ()),
    )
    settings = with_model(settings_from(home, policy), name)
    started = time.perf_counter()
    with progress("reading what is there") as report:
        preparation = Preparation(settings, load_policy(settings.policy), request, tell=report, say=show.warn)
        missing = preparation.missing()
        show.warn(_estimate(missing, request.budget_s))
        results = preparation.run()
    from guardedit import assembly

    path = assembly.model_folder(settings) / PREPARED_PAGE
    fields = {
        "model": name,
        "page": path,
        "files": [{"file": one.file, "made": one.made, "seconds": round(one.seconds, 1)} for one in results],
        "seconds": time.perf_counter() - started,
    }
    if output is Output.JSON:
        show.record(fields, output)
    else:
        show.page(path.read_text(encoding="utf-8"))
        show.page(f"{path}: {fields['seconds']:.0f} s")


def seconds_in(text: str) -> float:
    """The seconds in a time such as `90s`, `10m` or `1.5h`.

    >>> seconds_in("10m"), seconds_in("90")
    (600.0, 90.0)

    Raises:
        UsageError: it is no such time.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smh]?)", text.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"--budget is {text!r}: use a time such as 90s, 10m or 1h")
    return float(found[1]) * _UNITS[found[2] or "s"]


def _estimate(missing: list[str], budget_s: float) -> str:
    """The files to make. Only the search has a budget; the others take a few minutes for a small model."""
    if not missing:
        return "nothing is missing; the page is written again"
    search = f" The search of layers has {budget_s / 60:.0f} min;" if "edit_card.json" in missing else ""
    return f"to make: {', '.join(missing)}.{search} each of the others takes minutes for a small model"
