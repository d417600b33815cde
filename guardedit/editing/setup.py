"""What every editing method is built from: one record, so that methods differ in their algorithm only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guardedit.core.probe import Question
from guardedit.editing.settings import EditSettings, JointSettings
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.statistics import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A base model with what edits of it need.

    Attributes:
        host: the base model; methods read it under its lock and leave its bytes alone.
        fold: turns live edits into the model as it stands.
        moments: by layer, of `layer` and of `layers`.
        layer: where methods edit that change one layer.
        layers: where methods edit that spread a change, ascending.
        settings: the dials.
        joint: those of the joint editor.
        texts: ordinary text, for methods that must be shown what not to change.
        known: questions about other subjects with their answers, the catalogue of what must not change.
        trained: folder with trained editors; None when there is none.
        cache: folder for what depends on the base model and its catalogue only; None: nothing is kept.
        seed: for whatever is sampled.
    """

    host: ModelHost
    fold: Fold
    moments: Mapping[int, SecondMoments]
    layer: int
    layers: tuple[int, ...]
    settings: EditSettings
    joint: JointSettings = field(default_factory=JointSettings)
    texts: tuple[str, ...] = ()
    known: tuple[Question, ...] = ()
    trained: Path | None = None
    cache: Path | None = None
    seed: int = 0
