"""Lists the candidates of a sweep: layers to edit, and values of an editor's settings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from guardedit.editing.edit_card import KINDS, SettingValue

#: Layers of a window.
WINDOW = 3
#: Setting -> factors on its value. Few and coarse, because a few dozen facts cannot distinguish finer steps.
EDIT_GRID: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "learning_rate_ratio": (0.5, 2.0),
        "steps": (0.5, 2.0),
        "clamp_ratio": (0.25, 4.0),
        "norm_penalty": (1 / 3, 3.0),
        "ridge": (0.1, 10.0),
        "background_weight": (0.2, 5.0),
    }
)
JOINT_GRID: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "learning_rate_ratio": (0.5, 2.0),
        "steps": (0.5, 2.0),
        "norm_penalty": (1 / 3, 3.0),
        "background_price": (0.5, 2.0),
    }
)
#: The settings of `EDIT_GRID` that the joint editor reads as well.
SHARED = ("ridge", "background_weight")


@dataclass(frozen=True, slots=True)
class EditPlace:
    """The layers that are edited, ascending: a single layer or a window.

    >>> EditPlace((2, 3, 4)).layer, str(EditPlace((2, 3, 4))), str(EditPlace((5,)))
    (3, '2-4', '5')
    """

    layers: tuple[int, ...]

    @property
    def layer(self) -> int:
        """The middle layer, which methods of one layer edit."""
        return self.layers[len(self.layers) // 2]

    @property
    def alone(self) -> bool:
        """Whether it is a single layer."""
        return len(self.layers) == 1

    def __str__(self) -> str:
        return str(self.layer) if self.alone else f"{self.layers[0]}-{self.layers[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedSettings:
    """Settings that differ from those at the start of the sweep, as in an edit card.

    Attributes:
        edit: name -> value, of `EditSettings`.
        joint: name -> value, of `JointSettings`.
    """

    edit: Mapping[str, SettingValue] = field(default_factory=dict)
    joint: Mapping[str, SettingValue] = field(default_factory=dict)

    def having(self, kind: str, name: str, value: SettingValue) -> ChangedSettings:
        """A copy with one more setting changed; `kind` is "edit" or "joint"."""
        return replace(self, **{kind: {**getattr(self, kind), name: value}})

    def __str__(self) -> str:
        changed = {**self.edit, **self.joint}
        return ", ".join(f"{name} {value:g}" for name, value in changed.items())


def places(layers: Sequence[int], *, spreads: bool) -> list[EditPlace]:
    """Every single layer, and if the method `spreads` an edit over layers, every window of neighbours.

    >>> [str(place) for place in places([1, 2, 3, 4, 6], spreads=True)]
    ['1', '2', '3', '4', '6', '1-3', '2-4']
    """
    ordered = sorted({*layers})
    single = [EditPlace((layer,)) for layer in ordered]
    if not spreads:
        return single
    windows = [tuple(range(layer, layer + WINDOW)) for layer in ordered]
    return single + [EditPlace(window) for window in windows if {*window} <= {*ordered}]


def grid(
    values: Mapping[str, Mapping[str, SettingValue]], *, joint: bool, fixed: Mapping[str, Collection[str]]
) -> list[tuple[str, str, tuple[SettingValue, ...]]]:
    """The variations to try: ("edit" or "joint", setting, new values).

    Args:
        values: "edit" and "joint" -> setting -> its current value.
        joint: whether the method is the joint editor.
        fixed: "edit" and "joint" -> settings that the policy sets, which no card can change.
    """
    factors_by_kind = {
        "joint": JOINT_GRID if joint else {},
        "edit": {n: f for n, f in EDIT_GRID.items() if not joint or n in SHARED},
    }
    variations = []
    for kind, factors_by_name in factors_by_kind.items():
        defaults = KINDS[kind]()
        for name, factors in factors_by_name.items():
            now, whole = values[kind][name], isinstance(getattr(defaults, name), int)
            tried = [max(1, round(now * f)) if whole else float(f"{now * f:.4g}") for f in factors]
            new = tuple(value for value in dict.fromkeys(tried) if value != now)
            if new and name not in fixed.get(kind, ()):
                variations.append((kind, name, new))
    return variations
