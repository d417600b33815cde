"""The edit card: the layers and settings for editing one base model, as a JSON file.

`guardedit locate sweep` writes cards; `{"layer": 5}` is the shortest one written by hand.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from guardedit.core.errors import UsageError
from guardedit.editing.settings import EditSettings, JointSettings

SettingValue = float | int | bool
#: Name in a card -> the class of these settings.
KINDS: Mapping[str, type[EditSettings | JointSettings]] = MappingProxyType(
    {"edit": EditSettings, "joint": JointSettings}
)
_EXAMPLE = '{"layer": 5}'


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )


@dataclass(frozen=True)
class _Some:
    """Annotation of a mapping from setting name to value: some fields of `of`, with their limits."""

    of: type[EditSettings | JointSettings]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source
        hints = get_type_hints(self.of, include_extras=True)
        some = core_schema.typed_dict_schema(
            {
                item.name: core_schema.typed_dict_field(
                    handler.generate_schema(hints[item.name]), required=False
                )
                for item in fields(self.of)
            },
            extra_behavior="forbid",
            config=core_schema.CoreConfig(strict=True),
        )
        return core_schema.no_info_wrap_validator_function(_as_given, some)


def _as_given(given: Any, validate: Callable[[Any], Any]) -> Any:
    """Validate without converting: an int stays an int in a float field, since digests depend on it."""
    validate(given)
    return given


Layer = Annotated[int, Field(ge=0)]
_Ascending = AfterValidator(lambda layers: tuple(sorted({*layers})))


class CardSettings(_Strict):
    """Settings that a card sets; all others keep their defaults.

    Attributes:
        edit: settings of `EditSettings` by name.
        joint: settings of `JointSettings` by name.
    """

    edit: Annotated[Mapping[str, SettingValue], _Some(EditSettings)] = Field(default_factory=dict)
    joint: Annotated[Mapping[str, SettingValue], _Some(JointSettings)] = Field(default_factory=dict)


class EditCard(_Strict):
    """What is known about editing one base model.

    Attributes:
        layer: the layer for methods that edit one layer.
        layers: the layers for methods that edit several, ascending; default: `layer` alone.
        base_sha256: digest of the base model; None in a card that was written by hand.
        settings: settings of the methods that this card sets.
        about: how the sweep was made: method, number of facts, seed and so on.
        sweep: the sweep's table, one mapping for each candidate.
    """

    layer: Layer = Field(description="the layer to edit, counted from 0")
    layers: Annotated[tuple[Layer, ...], Field(min_length=1), _Ascending] = Field(
        default_factory=lambda card: (card["layer"],), description="a list of layers, counted from 0"
    )
    base_sha256: str | None = Field(default=None, description="the digest of the base model")
    settings: CardSettings = Field(
        default_factory=CardSettings,
        validation_alias="dials",
        description='an object with settings under "edit" and "joint"',
    )
    about: dict[str, Any] = Field(default_factory=dict, description="an object")
    sweep: tuple[dict[str, Any], ...] = Field(default=(), description="a list of objects")

    @property
    def edit(self) -> Mapping[str, SettingValue]:
        """Settings of `EditSettings` by name."""
        return self.settings.edit

    @property
    def joint(self) -> Mapping[str, SettingValue]:
        """Settings of `JointSettings` by name."""
        return self.settings.joint

    @property
    def text(self) -> str:
        """The card as JSON, with a line for each part and for each row of the sweep; NaN becomes null."""
        settings = {kind: dict(getattr(self.settings, kind)) for kind in KINDS}
        body = {
            "base_sha256": self.base_sha256,
            "layer": self.layer,
            "layers": list(self.layers),
            "dials": {kind: values for kind, values in settings.items() if values},
            "about": self.about,
        }
        lines = [f" {_line(name)}: {_line(value)}" for name, value in body.items() if value not in (None, {})]
        if self.sweep:
            rows = ",\n".join(f"  {_line(row)}" for row in self.sweep)
            lines.append(f' "sweep": [\n{rows}\n ]')
        return "{\n" + ",\n".join(lines) + "\n}\n"


def parse_card(text: str, source: object) -> EditCard:
    """Read a card.

    Args:
        text: JSON.
        source: the file, for error messages.

    Raises:
        UsageError: names the source, what is wrong with it, and the right form.
    """
    try:
        return EditCard.model_validate_json(text, by_name=False)
    except ValidationError as error:
        problem = _problem(error.errors(include_url=False)[0])
        raise UsageError(f"{source} is not an edit card ({problem}): write it as {_EXAMPLE}") from error


def _problem(detail: ErrorDetails) -> str:
    """One validation error in plain words."""
    kind, place, value = detail["type"], detail["loc"], detail["input"]
    if kind == "json_invalid":
        return f"not JSON: {detail['msg']}"
    if not place:
        return f"it must be an object, got {value!r:.80}"
    if kind == "extra_forbidden":
        return _unknown(place)
    if place[0] == "dials" and len(place) > 2:  # the key, a kind, a name
        return f"{place[1]}.{place[2]}: {detail['msg']}, got {value!r:.80}"
    field = next(f for name, f in EditCard.model_fields.items() if place[0] in (name, f.validation_alias))
    got = "nothing" if kind == "missing" else f"{value!r:.80}"
    within = "".join(f", at {part!r}" for part in place[1:])
    return f'"{place[0]}" is {field.description}, got {got}{within}'


def _unknown(place: tuple[int | str, ...]) -> str:
    """The message for an unknown key: its name, and the keys that are known at its place."""
    known = [str(f.validation_alias or name) for name, f in EditCard.model_fields.items()]
    if place[0] == "dials":
        known = list(KINDS) if len(place) == 2 else [f.name for f in fields(KINDS[str(place[1])])]
    within = "".join(f" in {part!r}" for part in place[-2:-1])
    return f"unknown {place[-1]!r}{within}; known: {', '.join(known)}"


def _line(value: Any) -> str:
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    """The value with None in place of numbers that are not finite, which JSON cannot represent."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
