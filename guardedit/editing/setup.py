"""The inputs that every editing method is built from, so that methods differ only in their algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from guardedit.core.probe import Question
from guardedit.editing.settings import EditSettings, JointSettings
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import SecondMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A base model, and what is needed to edit it.

    Attributes:
        host: the base model; methods read it under its lock and do not change its weights.
        fold: computes the edited weights from live edits.
        moments: layer -> second moments of keys, for `layer` and `layers`.
        layer: the layer for methods that edit one layer.
        layers: the layers for methods that edit several, ascending.
        settings: settings of all methods except the joint editor.
        joint: settings of the joint editor.
        texts: ordinary text, for methods that need examples of what not to change.
        known: questions about other subjects with their answers, which must not change.
        trained: folder with trained editors; None when there is none.
        cache: folder for results that depend only on the base model and on `known`; None to cache nothing.
        seed: of all sampling.
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
