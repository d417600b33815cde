"""What the sweep tries: places in the model, and values of dials. Knows no model and no method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from guardedit.editing.edit_card import KINDS, Dial

#: Layers of a window.
WINDOW = 3
#: Whose dials -> dial -> factors on its value. Steps are few and coarse: a few dozen facts show no more.
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
#: What the joint editor reads of the other dials.
SHARED = ("ridge", "background_weight")


@dataclass(frozen=True, slots=True)
class Place:
    """Layers that are edited, ascending: one alone, or a window.

    >>> Place((2, 3, 4)).layer, str(Place((2, 3, 4))), str(Place((5,)))
    (3, '2-4', '5')
    """

    layers: tuple[int, ...]

    @property
    def layer(self) -> int:
        """The one in the middle: where a method edits that changes one layer."""
        return self.layers[len(self.layers) // 2]

    @property
    def alone(self) -> bool:
        """Whether it is one layer."""
        return len(self.layers) == 1

    def __str__(self) -> str:
        return str(self.layer) if self.alone else f"{self.layers[0]}-{self.layers[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dials:
    """Dials that are other than the settings the sweep began with, as in an edit card."""

    edit: Mapping[str, Dial] = field(default_factory=dict)
    joint: Mapping[str, Dial] = field(default_factory=dict)

    def having(self, kind: str, name: str, value: Dial) -> Dials:
        """One dial set."""
        return replace(self, **{kind: {**getattr(self, kind), name: value}})

    def __str__(self) -> str:
        changed = {**self.edit, **self.joint}
        return ", ".join(f"{name} {value:g}" for name, value in changed.items())


def places(layers: Sequence[int], *, spreads: bool) -> list[Place]:
    """Every layer alone; of methods that spread a change also every window of neighbours.

    >>> [str(place) for place in places([1, 2, 3, 4, 6], spreads=True)]
    ['1', '2', '3', '4', '6', '1-3', '2-4']
    """
    ordered = sorted({*layers})
    single = [Place((layer,)) for layer in ordered]
    if not spreads:
        return single
    windows = [tuple(range(layer, layer + WINDOW)) for layer in ordered]
    return single + [Place(window) for window in windows if {*window} <= {*ordered}]


def grid(
    values: Mapping[str, Mapping[str, Dial]], *, joint: bool, fixed: Mapping[str, Collection[str]]
) -> list[tuple[str, str, tuple[Dial, ...]]]:
    """What to try: (whose dials, dial, values), without what is tried already.

    Args:
        values: "edit" and "joint" -> dial -> the value it has now.
        joint: of the joint editor, else of all others.
        fixed: whose dials -> dials that the policy sets and no card can change.
    """
    wanted = {
        "joint": JOINT_GRID if joint else {},
        "edit": {n: f for n, f in EDIT_GRID.items() if not joint or n in SHARED},
    }
    found = []
    for kind, dials in wanted.items():
        usual = KINDS[kind]()
        for name, factors in dials.items():
            now, whole = values[kind][name], isinstance(getattr(usual, name), int)
            tried = [max(1, round(now * f)) if whole else float(f"{now * f:.4g}") for f in factors]
            fresh = tuple(value for value in dict.fromkeys(tried) if value != now)
            if fresh and name not in fixed.get(kind, ()):
                found.append((kind, name, fresh))
    return found
