"""What the commands that measure editing methods share: which methods, which facts, how far they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.lab.editors.cases import EditCase
    from guardedit.lab.editors.compare import Measured
    from guardedit.models.host import ModelHost

#: Between two lines about long work where nobody looks.
MINUTE_S = 60.0

Facts = Annotated[
    Path | None,
    typer.Option(
        help="Corrections, as for submit; else, for the demo model, facts of its own world.",
        metavar="FILE.jsonl",
        show_default=False,
    ),
]
Single = Annotated[int, typer.Option(min=0, help="Edits made one at a time on the base model.")]
Sequential = Annotated[int, typer.Option(min=0, help="Edits made on top of each other.")]
Batch = Annotated[int, typer.Option(min=1, help="Most edits proposed at once in the sequence.")]

#: Of any number in a list: facts, widths, lengths. More fits into no machine's memory.
MOST = 1_000_000


def names_in(text: str | None) -> tuple[str, ...]:
    """What stands between the commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))


def numbers_in(option: str, text: str | None, *, at_least: int = 0) -> tuple[int, ...]:
    """What stands between the commas; UsageError for what is no number, too small or far too large a one."""
    if not text:
        return ()
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r} is not a list of numbers: write them as 1,8,64") from None
    if min(numbers) < at_least:
        raise UsageError(f"{option} {text!r} holds {min(numbers)}: the least that makes sense is {at_least}")
    if max(numbers) > MOST:
        raise UsageError(f"{option} {text!r} holds {max(numbers)}: the most is {MOST}")
    return numbers


def facts_to_edit(
    settings: Settings, path: Path | None, *, count: int, seed: int
) -> tuple[list[EditCase], tuple[str, ...]]:
    """What is edited, and the texts of the perplexity, which are not those that methods are shown.

    Raises:
        UsageError: when nothing is asked for, or there are no facts.
    """
    if count < 1:
        raise UsageError("no edits are asked for: give --single or --sequential a number above 0")
    if path is not None:
        from guardedit.lab.editors.given_facts import given_cases, read_corrections

        corrections = read_corrections(path)  # before the probe set: most mistakes are here
        from guardedit.assembly import load_probes

        probes = load_probes(settings)
        return given_cases(corrections, probes, seed=seed)[:count], probes.texts
    if settings.model:
        raise UsageError("there are no facts for this model: give --facts FILE.jsonl")
    from guardedit.assembly import load_probes
    from guardedit.lab.editors.world_facts import world_cases
    from guardedit.zoo.probes import known_world, read_texts
    from guardedit.zoo.world import World

    known = [(q.subject, q.relation, q.prompt) for q in load_probes(settings).questions]
    return world_cases(known_world(World.load(), known), count=count, seed=seed), tuple(
        read_texts("evaluation")
    )


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on a terminal, nothing elsewhere. On stderr: stdout is for the result."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("asking the base model", total=None)
        yield lambda what, done, total: progress.update(task, description=what, completed=done, total=total)


@contextmanager
def telling(doing: str = "measuring") -> Iterator[Callable[[str], None]]:
    """What is being measured: on a terminal always the latest, elsewhere a line every minute, on stderr."""
    from rich.console import Console

    if sys.stderr.isatty():
        with Console(stderr=True).status(doing) as status:
            yield status.update
        return
    said_at_s = time.monotonic()

    def tell(text: str) -> None:
        nonlocal said_at_s
        if time.monotonic() - said_at_s >= MINUTE_S:
            show.warn(text)
            said_at_s = time.monotonic()

    yield tell


def unsaid(host: ModelHost, cases: list[EditCase]) -> list[EditCase]:
    """The facts that the model does not state already.

    Raises:
        UsageError: when there are none.
    """
    from guardedit.lab.editors.cases import vetted
    from guardedit.models.text.guessing import complete_guessed

    good = vetted(cases, lambda guesses: complete_guessed(host, guesses))
    if not good:
        raise UsageError(
            f"nothing to edit: the model says all targets already ({len(cases)}): give other facts"
        )
    return good


def show_measured(found: Sequence[Measured], output: Output) -> None:
    """The tables of what was measured, and what went wrong on stderr."""
    from guardedit.lab.editors.report import problems, sequence_table, single_table

    for title, table in (
        ("each edit alone:", single_table(found)),
        ("in sequence, after the last edit that was asked after:", sequence_table(found)),
    ):
        if table:
            show.line({}, output, title)
            show.rows(table, list(table[0]), output, empty="")
    for text in problems(found):
        show.warn(text)
