"""Trains an editor (KE or MEND) for one base model: chooses its data and settings, and runs the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from guardedit import assembly
from guardedit.assembly.model_files import TRAINED
from guardedit.core.errors import UsageError
from guardedit.editing.hyper.checkpoint import checkpoint_file
from guardedit.editing.hyper.training import Training, TrainingReport
from guardedit.editing.hyper.training_data import EditSampler, FactExample, read_examples
from guardedit.editing.hyper.training_settings import DEFAULT_SETTINGS
from guardedit.models.host import ModelHost
from guardedit.settings import Settings
from guardedit.zoo.editor_training import held_out_subjects, training_examples
from guardedit.zoo.world import World

#: Called with the step just taken, the number of steps, and numbers to show.
Tell = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedEditor:
    """The result of a run.

    Attributes:
        base_sha256: digest of the base model, the only one that the editor works on.
        file: file of the best network.
        steps: optimiser steps taken.
        best: the best network on the validation lessons.
    """

    base_sha256: str
    file: Path
    steps: int
    best: TrainingReport


def training_data(settings: Settings, path: Path | None) -> tuple[FactExample, ...] | None:
    """The examples in a file; None: the demo model's own world, which needs the loaded model.

    Raises:
        UsageError: the file cannot be read, or there is none for a model other than the demo model.
    """
    if path is not None:
        return read_examples(path)
    if settings.model:
        raise UsageError("there is no training data for this model: give --data FILE.jsonl")
    return None


def default_folder(settings: Settings) -> Path:
    """Where a trained editor is looked for: `editors` in the model's folder."""
    return assembly.model_folder(settings) / TRAINED


def train_editor(
    settings: Settings,
    method: str,
    examples: tuple[FactExample, ...] | None,
    *,
    folder: Path,
    steps: int | None,
    seed: int,
    resume: bool,
    tell: Tell,
) -> TrainedEditor:
    """Load the base model, train, and write the best network to `folder`.

    Args:
        settings: names the base model.
        method: `ke` or `mend`.
        examples: examples from `training_data`.
        folder: folder of the result, and of the state from which a stopped run is resumed.
        steps: optimiser steps; None: as many as the demo model needs.
        seed: seed of the network and the lessons.
        resume: continue the stopped run whose state is in `folder`.
        tell: progress.

    Raises:
        UsageError: there is no run to resume, or a text does not fit the model.
    """
    host = assembly.load_host(settings)
    examples = _demo_examples(host) if examples is None else examples
    course = EditSampler(examples, _background(settings, host), seed=seed)
    numbers = replace(DEFAULT_SETTINGS[method], seed=seed)
    numbers = numbers if steps is None else replace(numbers, steps=steps)
    training = Training(method, host, course, numbers, folder)
    if resume:
        training.resume()
    best = training.run(on_step=tell)
    return TrainedEditor(
        base_sha256=host.base_sha256,
        file=checkpoint_file(folder, method),
        steps=training.step,
        best=best,
    )


def _demo_examples(host: ModelHost) -> tuple[FactExample, ...]:
    world = World.load()
    return training_examples(world, held_out_subjects(world, host.complete))


def _background(settings: Settings, host: ModelHost) -> tuple[str, ...]:
    """The background text in the model's folder, if any. Sampling texts is not worth its cost here."""
    has_file = (assembly.model_folder(settings) / assembly.BACKGROUND).is_file()
    return tuple(assembly.background(settings, host)) if has_file else ()
