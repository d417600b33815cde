"""`guardedit bench edit`: how fast edits are made, against the plain way, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardedit.cli.bench.epochs import epochs
from guardedit.cli.bench.live import live
from guardedit.cli.measuring import Facts, facts_to_edit, names_in, numbers_in, telling, unsaid
from guardedit.cli.terminal import show
from guardedit.cli.terminal.failure import Commands
from guardedit.cli.terminal.options import MOST_SEED, Format, Home, Model, PolicyFile, examples, settings_from
from guardedit.cli.terminal.show import Output

if TYPE_CHECKING:
    from guardedit.editing.setup import Setup
    from guardedit.lab.editors.cases import EditCase

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Measure speed; each command compares within one run.",
    rich_markup_mode=None,
)

Threads = Annotated[int, typer.Option(min=0, max=1_024, help="Threads; 0: as PyTorch chooses.")]
Seed = Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the choice of facts.")]
#: Facts beyond the batch that are read, since some are said by the model already.
SPARE = 16


@app.command(epilog=examples("guardedit bench edit --batch 64", "guardedit bench edit --output json"))
def edit(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    batch: Annotated[int, typer.Option(min=1, help="Facts proposed at once.")] = 64,
    plain: Annotated[int, typer.Option(min=1, help="Facts made the plain way.")] = 8,
    beside: Annotated[str, typer.Option(help="Other methods to time.", metavar="A,B")] = "ft-m,ultraedit",
    threads: Threads = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """Edits a second of the default editor and of its plain mode, on the same model and facts.

    The plain mode is what reference code does: one fact at a time, the whole model, a fixed number of steps.
    The floor is the time that the counted matrix operations take at this machine's measured rate. Efficacy
    is asked with all of a column's edits in the model, and once more with each alone.
    """
    from guardedit.editing.registry import Registry
    from guardedit.lab.editors.speed import compare_speed

    registry = Registry()
    others = names_in(beside)
    for name in others:
        registry.resolve(name)
    setup, good = _ready(home, policy, model, facts, count=batch, threads=threads, seed=seed)
    with telling() as tell:
        found = compare_speed(
            setup,
            registry.build("joint", setup),
            good,
            batch=min(batch, len(good)),
            plain=min(plain, len(good)),
            others={name: registry.build(name, setup) for name in others},
            tell=tell,
        )
    if output is Output.JSON:
        show.record(found, output)
        return
    columns = {"engine": found, "plain": found["plain"], **found["others"]}
    rows = [
        {"": name, **{title: f"{column[name]:.4g}" for title, column in columns.items()}}
        for name in found["plain"]
    ]
    show.rows(rows, list(rows[0]), output, empty="")
    parts = ", ".join(f"{part} {share:.0%}" for part, share in found["where"].items())
    show.line({}, output, f"Where the engine's time goes: {parts}.")
    show.line(
        {},
        output,
        f"{found['ratio']:.1f} times the plain mode's edits a second; {found['threads']} threads, "
        f"{found['matrix_gigaflops_per_second']:.0f} gigaflops a second in matrix products.",
    )


@app.command(epilog=examples("guardedit bench growth", "guardedit bench growth --widths '' --output json"))
def growth(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    facts: Facts = None,
    batches: Annotated[str, typer.Option(help="Facts proposed at once.", metavar="N,N")] = "1,8,64,512",
    widths: Annotated[
        str, typer.Option(help="Widths of models with random weights.", metavar="N,N")
    ] = "128,256,512,1024",
    lengths: Annotated[
        str, typer.Option(help="Tokens of text before every wording.", metavar="N,N")
    ] = "0,32,64,128",
    threads: Threads = 0,
    seed: Seed = 0,
    output: Format = Output.TABLE,
) -> None:
    """How the default editor's speed grows with the batch, the model's width and the length of the texts.

    Each number stands beside that of the plain mode on the same model and texts.
    """
    from dataclasses import asdict

    from guardedit.lab.editors import growth as grow

    sizes = numbers_in("--batches", batches, at_least=1)
    wide, long = numbers_in("--widths", widths, at_least=1), numbers_in("--lengths", lengths)
    count = max((*sizes, grow.BATCH))
    setup, good = _ready(home, policy, model, facts, count=count, threads=threads, seed=seed)
    for size in sizes:
        if size > len(good):
            show.warn(f"no batch of {size}: there are {len(good)} facts that the model does not say already")
    found: list[dict[str, Any]] = []
    for vary, values in ((grow.with_batch, sizes), (grow.with_width, wide), (grow.with_length, long)):
        with telling() as tell:
            grown = [asdict(one) for one in vary(setup, good, values, tell=tell)]
        found += grown
        # As soon as they are there: the next ones may take long.
        if grown and output is Output.TABLE:
            show.rows(grown, list(grown[0]), output, empty="")
    if output is Output.JSON:
        show.record({"grown": found}, output)
    elif not found:
        show.line({}, output, "nothing was asked for")


def _ready(
    home: Path | None,
    policy: Path | None,
    model: Path | None,
    facts: Path | None,
    *,
    count: int,
    threads: int,
    seed: int,
) -> tuple[Setup, list[EditCase]]:
    """What is edited, and the facts that the model does not say already."""
    import torch

    from guardedit import assembly
    from guardedit.policy.load import load_policy

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)
    if threads:
        torch.set_num_threads(threads)
    cases, _ = facts_to_edit(settings, facts, count=count + SPARE, seed=seed)
    setup = assembly.load_setup(settings, rules, seed=seed)
    return setup, unsaid(setup.host, cases)


app.command(epilog=examples("guardedit bench live", "guardedit bench live --sizes 1000 --corrections 100"))(
    live
)
app.command(epilog=examples("guardedit bench epochs", "guardedit bench epochs --answers 1000"))(epochs)
