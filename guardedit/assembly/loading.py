"""Loads a model with its second moments, its fold and its editing methods."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from guardedit.assembly.edit_cards import edit_layer, edit_settings, find_card, joint_settings
from guardedit.assembly.model_files import MOMENTS, TRAINED, background, catalogue, model_folder
from guardedit.assembly.prepared import require_prepared
from guardedit.assembly.prompts import read_memory_card
from guardedit.assembly.without_editing import NoEditing, served_fold
from guardedit.core.protocols import MethodEditor
from guardedit.editing.hyper.network import last_layers
from guardedit.editing.registry import Registry
from guardedit.editing.setup import Setup
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.lazy_moments import LazyMoments
from guardedit.models.weights.second_moments import SecondMoments, load_or_collect
from guardedit.models.worker import ModelWorker
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: Folder in the home folder for the output of layers that no edit changes, with one folder per base model.
HIDDEN = "hidden"
#: Builds an editing method, as `build` of the registered classes does.
Builder = Callable[[Setup], MethodEditor]


@dataclass(frozen=True)
class LoadedModel:
    """A model and the parts that edits need. Worker and replica share it if they run in one process."""

    host: ModelHost
    moments: SecondMoments | None  # of the edited layer; None if the policy writes no weights
    fold: Fold
    editors: Mapping[str, MethodEditor]


def load_model(
    settings: Settings,
    policy: Policy,
    *,
    extra: Mapping[str, Builder] | None = None,
    cache: Path | None = None,
) -> LoadedModel:
    """Load the model, its second moments and its editing methods.

    For a policy that never routes to the weights, the model alone is loaded: see `without_editing`.
    The output of its unchanged layers is kept in the home folder, or in memory when `cache` is given. `extra`
    adds methods that are not in the registry, such as the demo's fault injection. `cache` is as in
    `load_setup`.

    Raises:
        UsageError: the policy routes to the weights, and the model is not prepared for it.
    """
    if not policy.writes_weights:
        host = load_host(settings)
        return LoadedModel(host, None, served_fold(settings, policy, host, cache=cache), NoEditing())
    require_prepared(settings, policy)
    setup = load_setup(settings, policy, cache=cache)
    if cache is None:
        setup.host.hidden.keep_in(settings.home / HIDDEN)
    editors = Editors(setup, {name: build(setup) for name, build in (extra or {}).items()})
    return LoadedModel(setup.host, setup.moments[setup.layer], setup.fold, editors)


class Editors(Mapping[str, MethodEditor]):
    """Editing methods by name, built at their first use: most are never used, and some need training first.

    Args:
        setup: what the methods are built from.
        extra: methods that are not in the registry.
    """

    def __init__(self, setup: Setup, extra: Mapping[str, MethodEditor]) -> None:
        self._setup, self._registry, self._built = setup, Registry(), dict(extra)

    def __getitem__(self, name: str) -> MethodEditor:
        """The method; UsageError, not KeyError, if it is unknown or cannot be built."""
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
    """Load the model and everything that editing methods are built from. Needs no ledger.

    Second moments are cached in the home folder, or in `cache`. The questions of the probe set are the known
    facts that methods may use; a model without a probe set has none.

    Args:
        settings: model, home folder and device.
        policy: its editing settings override those of the edit card.
        layer: the layer to edit, for methods with one layer; default: from the policy, else from the card.
        layers: the layers to edit, for methods that spread a change; default: from the card, else `layer`.
        seed: seed of everything that the methods sample.
        host: the model, if it is loaded already.
        use_card: look for an edit card; without one, `layer` must be given here or in the policy.
        cache: folder of second moments; `borrowed_cache` for callers that may only read the home folder.

    Raises:
        PolicyError: no layer is given anywhere.
        UsageError: the model does not have the layer, or a file in its folder cannot be read.
    """
    host = host or load_host(settings)
    card = find_card(settings, host.base_sha256) if use_card else None
    one = edit_layer(policy, settings, card) if layer is None else layer
    if layers is None:
        layers = (one,) if card is None else card.layers
    several = tuple(sorted({*layers}))
    folder = cache or settings.home / MOMENTS
    texts = background(settings, host, folder=folder)
    edit = edit_settings(policy, card)

    def moments_of(wanted: Sequence[int]) -> Mapping[int, SecondMoments]:
        return load_or_collect(folder, host, texts, wanted)

    # Only trained editors edit the last layers, so the moments of those layers are collected on demand.
    moments = LazyMoments(moments_of(sorted({one, *several})), later=last_layers(host), collect=moments_of)
    trained = model_folder(settings) / TRAINED
    return Setup(
        host=host,
        fold=Fold(host, moments, background_weight=edit.background_weight, ridge=edit.ridge),
        moments=moments,
        layer=one,
        layers=several,
        settings=edit,
        joint=joint_settings(policy, card),
        texts=tuple(texts),
        known=catalogue(settings),
        trained=trained if trained.is_dir() else None,
        cache=folder,
        seed=seed,
    )


@contextmanager
def borrowed_cache(settings: Settings) -> Iterator[Path]:
    """A temporary folder of second moments, for callers that may only read the home folder.

    It links to the files in the home folder. Missing files are created in the temporary folder, which is
    deleted at the end. Replacing a link by a file does not change the file in the home folder.
    """
    with tempfile.TemporaryDirectory(prefix="guardedit-moments-") as folder:
        original, temporary = (settings.home / MOMENTS).absolute(), Path(folder)
        for path in original.glob("*/*"):
            target = temporary / path.relative_to(original)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(path)
        yield temporary


def load_host(settings: Settings) -> ModelHost:
    """Load the base model alone, on the device in the settings."""
    folder = model_folder(settings)
    return ModelHost.load(folder, device=_device(settings), form=read_memory_card(folder).get("form"))


def model_worker(loaded: LoadedModel) -> ModelWorker:
    """A worker on a loaded model."""
    return ModelWorker(loaded.host, loaded.fold, loaded.editors)


def _device(settings: Settings) -> str:
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
