"""A loaded model with its second moments, its fold and its editing methods."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guardedit.assembly.edit_cards import edit_layer, edit_settings, find_card, joint_settings
from guardedit.assembly.model_files import MOMENTS, TRAINED, background, catalogue, model_folder
from guardedit.core.protocols import Editor
from guardedit.editing.hyper.network import last_layers
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.moments import Moments
from guardedit.models.weights.statistics import SecondMoments, load_or_collect
from guardedit.models.worker import ModelWorker
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Makes an editing method, as the registered classes' `build` does.
Builder = Callable[[Setup], Editor]


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model with what edits need; shared by worker and replica where they share a process."""

    host: ModelHost
    moments: SecondMoments  # of the layer that is edited
    fold: Fold
    editors: Mapping[str, Editor]


def load_model(
    settings: Settings,
    policy: Policy,
    *,
    extra: Mapping[str, Builder] | None = None,
    cache: Path | None = None,
) -> LoadedModel:
    """Load the model, its second moments and its editing methods.

    `extra` adds methods that no registry should offer, such as the demo's fault injection; `cache` is as in
    `load_setup`.
    """
    setup = load_setup(settings, policy, cache=cache)
    editors = Editors(setup, {name: build(setup) for name, build in (extra or {}).items()})
    return LoadedModel(setup.host, setup.moments[setup.layer], setup.fold, editors)


class Editors(Mapping[str, Editor]):
    """Editing methods by name, built when first asked for: most are never used, some must be trained.

    Args:
        setup: what they are built from.
        extra: methods that no registry offers.
    """

    def __init__(self, setup: Setup, extra: Mapping[str, Editor]) -> None:
        self._setup, self._registry, self._built = setup, Registry(), dict(extra)

    def __getitem__(self, name: str) -> Editor:
        """UsageError for a name that cannot be built, KeyError never."""
        if name not in self._built:
            self._built[name] = self._registry.build(name, self._setup)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._registry.names, *self._built}))

    def __len__(self) -> int:
        return len({*self._registry.names, *self._built})


def load_setup(
    settings: Settings,
    policy: Policy,
    *,
    layer: int | None = None,
    layers: Sequence[int] | None = None,
    seed: int = 0,
    host: ModelHost | None = None,
    use_card: bool = True,
    cache: Path | None = None,
) -> Setup:
    """Load the model and all that editing methods are built from; no ledger is needed.

    Second moments are kept in the home folder, or in `cache`. The probe set's questions are what methods may
    be shown as known; a model without a probe set goes without.

    Args:
        settings: model, home folder and device.
        policy: the dials, before the edit card's.
        layer: where one layer is edited; default: the policy's, else the edit card's.
        layers: where a change is spread; default: the edit card's, else `layer` alone.
        seed: for whatever the methods sample.
        host: the model, where it is loaded already.
        use_card: look for an edit card; without one `layer` must be given or be the policy's.
        cache: where second moments are kept; `borrowed_cache` for who only reads the home folder.

    Raises:
        PolicyError: when nobody names a layer.
        UsageError: for a layer that the model does not have, or files beside the model that cannot be read.
    """
    host = host or load_host(settings)
    card = find_card(settings, host.base_sha256) if use_card else None
    one = edit_layer(policy, settings, card) if layer is None else layer
    if layers is None:
        layers = (one,) if card is None else card.layers
    several = tuple(sorted({*layers}))
    kept_in = cache or settings.home / MOMENTS
    texts = background(settings, host, folder=kept_in)
    dials = edit_settings(policy, card)

    def moments_of(wanted: Sequence[int]) -> Mapping[int, SecondMoments]:
        return load_or_collect(kept_in, host, texts, wanted)

    # Only trained editors write to the last layers, so most never pay for theirs.
    moments = Moments(moments_of(sorted({one, *several})), later=last_layers(host), collect=moments_of)
    trained = model_folder(settings) / TRAINED
    return Setup(
        host=host,
        fold=Fold(host, moments, background_weight=dials.background_weight, ridge=dials.ridge),
        moments=moments,
        layer=one,
        layers=several,
        settings=dials,
        joint=joint_settings(policy, card),
        texts=tuple(texts),
        known=catalogue(settings),
        trained=trained if trained.is_dir() else None,
        cache=kept_in,
        seed=seed,
    )


@contextmanager
def borrowed_cache(settings: Settings) -> Iterator[Path]:
    """A folder of second moments for who may not write beside the ledger.

    It shows what the home folder holds; what is missing there is made here, and gone in the end. A link that
    is replaced by a file leaves the file that it named as it was.
    """
    with tempfile.TemporaryDirectory(prefix="guardedit-moments-") as folder:
        kept, mine = (settings.home / MOMENTS).absolute(), Path(folder)
        for path in kept.glob("*/*"):
            target = mine / path.relative_to(kept)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(path)
        yield mine


def load_host(settings: Settings) -> ModelHost:
    """The base model alone, on the device of the settings."""
    return ModelHost.load(model_folder(settings), device=_device(settings))


def model_worker(bench: LoadedModel) -> ModelWorker:
    """A model worker on a loaded bench."""
    return ModelWorker(bench.host, bench.fold, bench.editors)


def _device(settings: Settings) -> str:
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
