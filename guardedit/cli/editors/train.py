"""`guardedit editors train`: train KE or MEND for one base model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.files import writable_folder
from guardedit.cli.terminal.options import MOST_SEED, Format, Model, settings_from
from guardedit.cli.terminal.progress import progress
from guardedit.cli.terminal.show import Output


class TrainedMethod(StrEnum):
    """Methods that must be trained before use."""

    KE = "ke"
    MEND = "mend"


def train(
    *,
    method: Annotated[TrainedMethod, typer.Argument(metavar="METHOD", help="ke or mend.")],
    model: Model = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Facts that the model knows: JSON Lines of corrections with target_true. Default: the demo "
            "model's own world; any other model needs a file.",
            metavar="FILE.jsonl",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help="Optimiser steps. Default: as many as the demo model needs.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the trained editor. Default: `editors` in the model's folder.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=MOST_SEED, help="Random seed, for the network and the training examples."),
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the stopped run whose state is in the folder.")
    ] = False,
    output: Format = Output.TABLE,
) -> None:
    """Train KE or MEND for one base model.

    These two methods use a network that computes edits. It is trained on this base model and works on no
    other. A part of the subjects is set aside for validation, and the network that does best on them is
    kept. A stopped run that is continued with --resume ends with the same result as an uninterrupted one.
    """
    settings = settings_from(model=model)
    from guardedit.lab.training import default_folder, train_editor, training_data

    examples = training_data(settings, data)  # before the model is loaded
    folder = writable_folder(out or default_folder(settings))
    started = time.perf_counter()
    with progress("loading the model") as report:

        def tell(step: int, total: int, numbers: Mapping[str, float]) -> None:
            losses = " ".join(f"{name} {value:.3g}" for name, value in numbers.items())
            report(f"training {method.value} ({losses})", step, total)

        trained = train_editor(
            settings,
            method.value,
            examples,
            folder=folder,
            steps=steps,
            seed=seed,
            resume=resume,
            tell=tell,
        )
    best = trained.best
    fields = {
        "method": method.value,
        "base_sha256": trained.base_sha256,
        "file": trained.file,
        "steps": trained.steps,
        "best_step": best.step,
        "answered": best.answered,
        "edit_nats": best.edit_nats,
        "kept_kl_nats": best.kept_nats,
        "seconds": time.perf_counter() - started,
    }
    show.record(fields, output)
