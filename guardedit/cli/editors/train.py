"""`guardedit editors train`: learn KE or MEND for one base model."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import MOST_SEED, Format, Model, made_folder, settings_from
from guardedit.cli.terminal.show import Output
from guardedit.core.errors import UsageError
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.editing.hyper.lessons import Example
    from guardedit.models.host import ModelHost


class Trainable(StrEnum):
    """Methods that must be trained."""

    KE = "ke"
    MEND = "mend"


def train(
    *,
    method: Annotated[Trainable, typer.Argument(help="Which editor.")],
    model: Model = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="JSON Lines: corrections with target_true; else, for the demo model, its own world.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps; else as many as the demo model needs.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the result; else `editors` in the model's.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Of the network and the lessons.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from where the folder's run stopped.")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    """Train an editor that must be trained before it can be used: KE or MEND.

    It learns to make one edit on this base model, and no other model can use it. A run that was stopped
    goes on with --resume as if it had not been. The best network on subjects that were set aside is kept.
    """
    settings = settings_from(model=model)
    if data is None and settings.model:
        raise UsageError("there is no training data for this model: give --data FILE.jsonl")
    from guardedit import assembly
    from guardedit.assembly.model_files import TRAINED
    from guardedit.editing.hyper.checkpoint import checkpoint_file
    from guardedit.editing.hyper.lessons import Course, read_examples
    from guardedit.editing.hyper.recipe import RECIPES
    from guardedit.editing.hyper.training import Training

    # Before anything slow.
    known = None if data is None else read_examples(data)
    folder = made_folder(out or assembly.model_folder(settings) / TRAINED)
    started = time.perf_counter()
    host = assembly.load_host(settings)
    course = Course(_demo_examples(host) if known is None else known, _ordinary(settings, host), seed=seed)
    recipe = replace(RECIPES[method.value], seed=seed)
    recipe = recipe if steps is None else replace(recipe, steps=steps)
    training = Training(method.value, host, course, recipe, folder)
    if resume:
        training.resume()
    with _bar(f"training {method.value}") as tell:
        best = training.run(tell=tell)
    said = {
        "method": method.value,
        "base_sha256": host.base_sha256,
        "file": checkpoint_file(folder, method.value),
        "steps": training.step,
        "best_step": best.step,
        "answered": best.answered,
        "edit_nats": best.edit_nats,
        "kept_kl_nats": best.kept_nats,
        "seconds": time.perf_counter() - started,
    }
    show.record(said, output)


def _demo_examples(host: ModelHost) -> tuple[Example, ...]:
    from guardedit.zoo.lessons import examples, held_out_subjects
    from guardedit.zoo.world import World

    world = World.load()
    return examples(world, held_out_subjects(world, host.complete))


def _ordinary(settings: Settings, host: ModelHost) -> tuple[str, ...]:
    """The text beside the model, if there is any: sampling some would cost more than it is worth here."""
    from guardedit import assembly

    given = (assembly.model_folder(settings) / assembly.BACKGROUND).is_file()
    return tuple(assembly.background(settings, host)) if given else ()


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int, Mapping[str, float]], None]]:
    """A progress bar on a terminal, nothing elsewhere. On stderr: stdout is for the result."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(title, total=None)

        def tell(done: int, total: int, numbers: Mapping[str, float]) -> None:
            said = " ".join(f"{name} {value:.3g}" for name, value in numbers.items())
            progress.update(task, completed=done, total=total, description=f"{title}: {said}")

        yield tell
