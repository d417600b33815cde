"""The parts of a model under a policy that never routes to the weights: no editing method, no second moments.

An earlier policy may have left edits in the weights. They stay served: the fold then reads the edit card, the
background and the second moments of their layers when the first edit is folded, from the cache if they are
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from guardedit.assembly.edit_cards import edit_settings, find_card
from guardedit.assembly.model_files import MOMENTS, background
from guardedit.core.errors import UsageError
from guardedit.core.protocols import MethodEditor
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import SecondMoments, load_or_collect
from guardedit.policy.schema import Policy
from guardedit.settings import Settings


class NoEditing(Mapping[str, MethodEditor]):
    """No editing method, whatever its name."""

    def __getitem__(self, name: str) -> NoReturn:
        """UsageError: no method is built."""
        raise UsageError(
            f"{name} is not built, because no rule of the policy in force routes to the weights: "
            "use a policy that does, such as default"
        )

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class MomentsOnDemand(Mapping[int, SecondMoments]):
    """Second moments of any layer, each read or collected when it is first asked for.

    Args:
        layers: number of layers.
        collect: the second moments of one layer.
    """

    def __init__(self, layers: int, collect: Callable[[int], SecondMoments]) -> None:
        self._layers, self._collect = range(layers), collect
        self._known: dict[int, SecondMoments] = {}

    def __getitem__(self, layer: int) -> SecondMoments:
        if layer not in self._layers:
            raise KeyError(layer)
        if layer not in self._known:
            self._known[layer] = self._collect(layer)
        return self._known[layer]

    def __iter__(self) -> Iterator[int]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def served_fold(settings: Settings, policy: Policy, host: ModelHost, *, cache: Path | None = None) -> Fold:
    """A fold of the base model that needs nothing until it is given an edit.

    With an edit it gives the same bytes as under the policy that made it, if the editing sections agree.

    Raises:
        UsageError: the model's edit card cannot be read. When an edit is folded: its second moments are
            lost and the files to collect them again too.
    """
    folder = cache or settings.home / MOMENTS

    def collect(layer: int) -> SecondMoments:
        return load_or_collect(folder, host, background(settings, host, folder=folder), [layer])[layer]

    edit = edit_settings(policy, find_card(settings, host.base_sha256))
    moments = MomentsOnDemand(host.layers, collect)
    return Fold(host, moments, background_weight=edit.background_weight, ridge=edit.ridge)
