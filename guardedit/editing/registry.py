"""Editing methods by name. Knows where each class lives and imports it only when it is asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from guardedit.core.errors import UsageError

#: Name in a policy -> `module:Class`.
METHODS: Mapping[str, str] = MappingProxyType(
    {
        "ft-l": "guardedit.editing.methods.ft_l:ClampedFineTuneEditor",
        "ft-m": "guardedit.editing.methods.ft_m:FineTuneEditor",
        "joint": "guardedit.editing.methods.joint:JointEditor",
        "ke": "guardedit.editing.methods.ke:KeEditor",
        "lora": "guardedit.editing.methods.lora:LoraEditor",
        "mend": "guardedit.editing.methods.mend:MendEditor",
        "ridge": "guardedit.editing.methods.ridge:RidgeEditor",
        "rome": "guardedit.editing.methods.rome:RomeEditor",
        "ultraedit": "guardedit.editing.methods.ultraedit:UltraEditor",
    }
)


class Registry:
    """Names of editing methods and where their classes live.

    >>> Registry({"ridge": "guardedit.editing.methods.ridge:RidgeEditor"}).names
    ('ridge',)
    """

    def __init__(self, methods: Mapping[str, str] = METHODS) -> None:
        self._places: dict[str, str] = {}
        for name, place in methods.items():
            self.register(name, place)

    @property
    def names(self) -> tuple[str, ...]:
        """All registered names, sorted."""
        return tuple(sorted(self._places))

    def register(self, name: str, place: str) -> None:
        """Add a method; `place` is `module:Class`.

        Raises:
            UsageError: for a name that is taken or a place that is not `module:Class`.
        """
        if name in self._places:
            raise UsageError(f"editing method {name!r} is already {self._places[name]}: choose another name")
        if place.count(":") != 1:
            raise UsageError(f"{place!r} is not of the form module:Class")
        self._places[name] = place

    def resolve(self, name: str) -> type[Any]:
        """The class of a method, imported now.

        Raises:
            UsageError: for an unknown name, or a place that cannot be imported.
        """
        if name not in self._places:
            near = difflib.get_close_matches(name, self._places, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(self.names)}"
            raise UsageError(f"unknown editing method {name!r}; {hint}")
        module, _, attribute = self._places[name].partition(":")
        try:
            found: type[Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UsageError(f"editing method {name!r} cannot be loaded from {module}: {error}") from error
        return found
