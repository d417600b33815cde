"""The edit card: where a base model is edited and with which dials, as plain data.

Knows the names of the dials and what a card's JSON may hold. Opens no file and knows no model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.editing.settings import EditSettings, JointSettings

Dial = float | int | bool
#: Name in a card -> whose dials they are.
KINDS: Mapping[str, type[EditSettings | JointSettings]] = MappingProxyType(
    {"edit": EditSettings, "joint": JointSettings}
)
#: Dials for which 0 means nothing at all.
_POSITIVE = frozenset(
    {"steps", "learning_rate_ratio", "clamp_ratio", "background_weight", "together", "full_share"}
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class EditCard:
    """What is known about editing one base model.

    Attributes:
        layer: where methods edit that change one layer.
        layers: where methods edit that spread a change, ascending; `layer` alone when the card names none.
        base_sha256: digest of the base model; None in a card that was written by hand.
        edit: dials of `EditSettings` by name.
        joint: dials of `JointSettings` by name.
        about: how the sweep was made: method, number of facts, seed and so on.
        sweep: the sweep's table, one mapping a candidate.
    """

    layer: int
    layers: tuple[int, ...]
    base_sha256: str | None = None
    edit: Mapping[str, Dial] = field(default_factory=dict)
    joint: Mapping[str, Dial] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    sweep: tuple[Mapping[str, Any], ...] = ()

    @property
    def json(self) -> str:
        """The card as `parse_card` reads it, a line for each part and for each row; NaN becomes null."""
        dials = {kind: dict(getattr(self, kind)) for kind in KINDS if getattr(self, kind)}
        body = {
            "base_sha256": self.base_sha256,
            "layer": self.layer,
            "layers": list(self.layers),
            "dials": dials,
            "about": self.about,
        }
        lines = [f" {_line(name)}: {_line(value)}" for name, value in body.items() if value not in (None, {})]
        if self.sweep:
            rows = ",\n".join(f"  {_line(row)}" for row in self.sweep)
            lines.append(f' "sweep": [\n{rows}\n ]')
        return "{\n" + ",\n".join(lines) + "\n}\n"


def parse_card(text: str, source: object) -> EditCard:
    """Read a card; `{"layer": 5}` is one.

    Args:
        text: JSON.
        source: named in errors.

    Raises:
        UsageError: naming the source, what is wrong with it and what is right.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(source, f"not JSON: {error}") from error
    if not isinstance(body, dict):
        raise _wrong(source, "it must be an object")
    known = {"base_sha256", "layer", "layers", "dials", "about", "sweep"}
    if strange := sorted(set(body) - known):
        raise _wrong(source, f"unknown {', '.join(map(repr, strange))}; known: {', '.join(sorted(known))}")
    if not _is_layer(body.get("layer")):
        raise _wrong(source, f'"layer" is the layer to edit, counted from 0, got {body.get("layer")!r}')
    base = body.get("base_sha256")
    if base is not None and not isinstance(base, str):
        raise _wrong(source, f'"base_sha256" is the digest of the base model, got {base!r}')
    dials = _object(body, "dials", source)
    if strange := sorted(set(dials) - set(KINDS)):
        raise _wrong(source, f'"dials" holds {" and ".join(map(repr, KINDS))}, not {strange[0]!r}')
    return EditCard(
        base_sha256=base,
        layer=body["layer"],
        layers=_layers(body, source),
        edit=_dials(dials, "edit", source),
        joint=_dials(dials, "joint", source),
        about=_object(body, "about", source),
        sweep=_rows(body, source),
    )


def _layers(body: Mapping[str, Any], source: object) -> tuple[int, ...]:
    layers = body.get("layers", [body["layer"]])
    if not isinstance(layers, list) or not layers or not all(map(_is_layer, layers)):
        raise _wrong(source, f'"layers" is a list of layers, got {layers!r}')
    return tuple(sorted({*layers}))


def _dials(dials: Mapping[str, Any], kind: str, source: object) -> dict[str, Dial]:
    found = _object(dials, kind, source)
    usual = {item.name: item.default for item in fields(KINDS[kind])}
    for name, value in found.items():
        if name not in usual:
            raise _wrong(source, f"there is no dial {name!r} of {kind!r}; known: {', '.join(usual)}")
        if problem := _unfit(name, value, usual[name]):
            raise _wrong(source, f"{kind}.{name} {problem}, got {value!r}")
    return found


def _unfit(name: str, value: Any, usual: Any) -> str:
    """Why this cannot be the dial's value; empty when it can."""
    if isinstance(usual, bool):
        return "" if isinstance(value, bool) else "is true or false"
    if isinstance(usual, int) and (not isinstance(value, int) or isinstance(value, bool)):
        return "is a whole number"
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return "is a number"
    if value < 0 or (value == 0 and name in _POSITIVE):
        return "is above 0" if name in _POSITIVE else "is at least 0"
    return ""


def _object(body: Mapping[str, Any], name: str, source: object) -> dict[str, Any]:
    found = body.get(name, _NOTHING)
    if not isinstance(found, Mapping):
        raise _wrong(source, f'"{name}" is an object, got {found!r:.80}')
    return dict(found)


def _rows(body: Mapping[str, Any], source: object) -> tuple[Mapping[str, Any], ...]:
    rows = body.get("sweep", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _wrong(source, '"sweep" is a list of objects')
    return tuple(rows)


def _is_layer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _wrong(source: object, problem: str) -> UsageError:
    return UsageError(f'{source} is not an edit card ({problem}): write it as {{"layer": 5}}')


def _line(value: Any) -> str:
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
